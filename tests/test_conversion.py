import math
import subprocess
import sys
from itertools import product
from typing import Any

import pytest

from tether.conversion import CONVENTIONS, convert
from tether.errors import SettingsError

CONTEXT: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "samples": 37, "size": 11}


def context(*names: str) -> dict[str, Any]:
    return {need: CONTEXT[need] for name in names for need in CONVENTIONS[name].needs}


def related(*names: str) -> bool:
    return bool(set.intersection(*(set(CONVENTIONS[name].of) for name in names)))


@pytest.mark.parametrize("source", CONVENTIONS)
def test_there_and_back_is_where_it_began(source: str):
    for target, value in product(CONVENTIONS, (1e-12, 3e-5, 0.7, 60.0)):
        if related(source, target):
            there = convert(value, source, target, **context(source, target))
            back = convert(there, target, source, **context(source, target))
            assert back == pytest.approx(value, rel=1e-12), target


@pytest.mark.parametrize("source", CONVENTIONS)
def test_a_detour_ends_at_the_same_place(source: str):
    for over, target in product(CONVENTIONS, repeat=2):
        if related(source, over, target):
            there = convert(0.3, source, over, **context(source, over))
            straight = convert(0.3, source, target, **context(source, target))
            assert convert(there, over, target, **context(over, target)) == pytest.approx(straight, rel=1e-12), over


@pytest.mark.parametrize("name", CONVENTIONS)
def test_more_is_more_and_nothing_is_nothing(name: str):
    weak, strong = (convert(value, name, **context(name)) for value in (0.1, 0.2))
    assert 0 < weak < strong
    assert convert(0, name, **context(name)) == 0.0
    assert convert(0, "strength", name, **context(name)) == 0.0


def test_a_decoupled_decay_is_a_coupled_one_in_the_limit_of_a_small_rate():
    assert convert(0.3, "adamw", lr=1e-9) == pytest.approx(0.3, rel=1e-9)
    assert convert(0.3, "sgdw", lr=1e-9, momentum=0.9) == pytest.approx(0.03, rel=1e-9)
    assert convert(0.3, "sgdw", lr=0.1, momentum=0.0) == pytest.approx(convert(0.3, "adamw", lr=0.1), rel=1e-15)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, -math.inf, True, "0.1", None])
def test_what_is_no_strength_is_refused(value: Any):
    with pytest.raises(SettingsError, match=r"is no value of `article`: it is a finite number, 0 or more"):
        convert(value, "article")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("articel", "article"), ("l2_sp", "l2_sp_"), ("adam_w", "adamw"), ("group-lasso", "group_lasso")],
)
def test_an_unknown_name_hears_what_is_near(wrong: str, near: str):
    for names in ((wrong, "strength"), ("strength", wrong)):
        with pytest.raises(SettingsError, match=f"no convention is named `{wrong}`") as refused:
            convert(1.0, *names)
        assert f"did you mean `{near}" in refused.value.fix


@pytest.mark.parametrize("name", [name for name in CONVENTIONS if CONVENTIONS[name].needs])
def test_what_a_row_needs_must_be_given(name: str):
    for missing in CONVENTIONS[name].needs:
        given = {key: setting for key, setting in context(name).items() if key != missing}
        for names in ((name, "strength"), ("strength", name)):
            with pytest.raises(SettingsError, match=f"needs `{missing}`") as refused:
                convert(0.1, *names, **given)
            assert f"`{missing}=…`" in refused.value.fix


@pytest.mark.parametrize("name", CONVENTIONS)
def test_what_no_row_needs_must_not_be_given(name: str):
    for extra in CONTEXT.keys() - CONVENTIONS[name].needs:
        with pytest.raises(SettingsError, match=f"does not depend on `{extra}`"):
            convert(0.1, name, **context(name), **{extra: CONTEXT[extra]})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("adamw", {"lr": 0.0}),
        ("adamw", {"lr": -0.1}),
        ("adamw", {"lr": math.nan}),
        ("adamw", {"lr": True}),
        ("sgdw", {"lr": 0.1, "momentum": 1.0}),
        ("sgdw", {"lr": 0.1, "momentum": -0.1}),
        ("ridge_mean", {"samples": 0}),
        ("ridge_mean", {"samples": 2.5}),
        ("mean_square", {"size": -3}),
    ],
)
def test_a_context_out_of_range_is_refused(name: str, wrong: dict[str, Any]):
    with pytest.raises(SettingsError, match=rf"`{[*wrong][-1]}=.*`: it is "):
        convert(0.1, name, **wrong)


@pytest.mark.parametrize("decay", [10.0, 11.0])
def test_a_decay_that_takes_all_has_no_strength(decay: float):
    with pytest.raises(SettingsError, match="leaves no displacement after one step"):
        convert(decay, "adamw", lr=0.1)
    assert convert(9.99, "adamw", lr=0.1) == pytest.approx(9.99 / 0.001)


def test_one_penalty_is_not_another():
    with pytest.raises(SettingsError, match="`group_lasso` is a strength of `GroupLasso`, and `article` one of `L2`"):
        convert(0.1, "group_lasso", "article")
    assert convert(0.1, "group_lasso") == convert(0.1, "article", "ewc_without_half") == 0.1


@pytest.mark.parametrize(("value", "name"), [(1e308, "article"), (1e200, "lsqr_damp"), (1e-200, "lsqr_damp")])
def test_what_no_float_holds_is_refused(value: float, name: str):
    with pytest.raises(SettingsError, match="beyond what a float holds"):
        convert(value, name)


def test_it_needs_no_torch():
    code = "import sys, tether.conversion; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)

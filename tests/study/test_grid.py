"""A grid has every configuration once, the baselines beside them, and nothing that is wrong."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from tether.errors import SettingsError
from tether.spec import RunSpec
from tether.study.configuration import Configuration
from tether.study.grid import Grid, grid

NAMES = ["scratch", "linear probe", "none", "l2", "differential_l2", "l2_sp", "lp-ft"]


def base(changes: Mapping[str, Any] | None = None) -> RunSpec:
    settings = {"model.name": "digits-cnn", "data.path": "digits", "source.path": "mnist"}
    return RunSpec.from_flags({**settings, **(changes or {})})


def varied(
    vary: Mapping[str, Sequence[Any]], *, on: Mapping[str, Any] | None = None, points: Sequence[Mapping[str, Any]] = ()
) -> Grid:
    return grid(base(on), vary, range(1), points=points, baselines=False)


def names(found: Grid) -> list[str]:
    return [one.name for one in found.configurations]


def of(found: Grid, name: str) -> Configuration:
    return next(one for one in found.configurations if one.name == name)


def test_the_issues_own_study() -> None:
    found = grid(base(), {"plan": ["none", "l2", "differential_l2", "l2_sp"], "plan.scale": [0.1, 1, 10]}, range(10))
    scaled = [f"{plan} · plan.scale {scale}" for plan in ("l2", "differential_l2", "l2_sp") for scale in ("0.1", "10")]
    assert sorted(names(found)) == sorted([*NAMES, *scaled])
    assert {one.role for one in found.configurations} == {"baseline"}, "every method is tuned as much as the baselines"
    assert found.dropped == {"plan.scale": ("none",)}
    assert found.merged["none"] == 3
    assert {one.method for one in found.configurations} == {*NAMES}
    candidates = [one.settings for one in found.configurations if one.method == "l2_sp"]
    assert candidates == [{"plan.scale": scale} for scale in (0.1, 1, 10)]
    assert len(list(found.runs())) == 130
    assert str(found).startswith("13 configurations × 10 seeds = 130 runs\n  baseline  scratch\n")
    assert "\ndropped plan.scale: not of none\n" in str(found)


def test_every_run_has_its_seed_and_whole_pairs_come_first() -> None:
    found = grid(base({"seed": 7}), {"plan": ["none", "l2"]}, (3, 1), baselines=False)
    told = [(one.name, seed, spec.seed, spec.plan.preset) for one, seed, spec in found.runs()]
    assert told == [("none", 3, 3, "none"), ("l2", 3, 3, "l2"), ("none", 1, 1, "none"), ("l2", 1, 1, "l2")]
    assert {one.spec.seed for one in found.configurations} == {0}


def test_runs_of_one_seed_differ_in_what_is_varied_alone() -> None:
    found = grid(base({"train.epochs": 3}), {"plan.scale": [1, 10]}, [5])
    fits = [one.at(5).model_dump(exclude={"plan"}) for one in found.configurations if one.kind == "fit"]
    assert all(one == fits[0] for one in fits)


def test_baselines_are_at_the_strengths_of_their_papers_whatever_the_specs_plan() -> None:
    plan = {"plan.preset": "l2_sp", "plan.args": {"alpha": 3.0}, "plan.scale": 2.0, "plan.via": "prox"}
    found = grid(base(plan), {}, range(2))
    assert names(found) == [*NAMES, "l2_sp(alpha=3.0) · plan.scale 2 · plan.via prox"]
    assert of(found, "l2_sp").spec.plan.model_dump(exclude_defaults=True) == {"preset": "l2_sp"}


def test_baselines_are_there_in_every_setting_that_is_not_of_the_plan() -> None:
    found = grid(base(), {"plan": ["l2_sp(alpha=1)"], "optimizer.lr": [1e-4, 3e-4]}, range(2))
    rates = [f" · optimizer.lr {rate}" for rate in ("0.0001", "0.0003")]
    baselines = [one.name for one in found.configurations if one.role == "baseline"]
    expected = [f"{name}{rate}" for rate in rates for name in NAMES if name != "linear probe"]
    assert sorted(baselines) == sorted([*expected, "linear probe"])
    assert not found.dropped


def test_every_method_with_a_strength_is_tuned_over_the_same_scales() -> None:
    found = grid(base(), {"plan": ["l1_sp(alpha=1)"], "plan.scale": [0.1, 10]}, range(2))
    tuned = {
        name: [one.settings["plan.scale"] for one in found.configurations if one.method == name]
        for name in ("l1_sp", "l2", "differential_l2", "l2_sp")
    }
    assert set(map(tuple, tuned.values())) == {(0.1, 10)}


def test_what_is_learnt_from_what_is_told_apart_and_how_is_chosen() -> None:
    vary = {"plan": ["l2_sp"], "data.per_class": [2, 5], "optimizer.lr": [1e-3, 1e-4], "data.augment": ["none"]}
    found = grid(base(), vary, range(2), baselines=False)
    assert [one.condition["data.per_class"] for one in found.configurations] == [2, 2, 5, 5]
    assert {tuple(one.settings) for one in found.configurations} == {("optimizer.lr", "data.augment")}
    assert {one.method for one in found.configurations} == {"l2_sp"}


def test_a_run_from_scratch_stands_beside_each_source() -> None:
    found = grid(base(), {"source.path": ["mnist", "other.pth"]}, range(2))
    scratches = [one for one in found.configurations if one.kind == "scratch"]
    assert [one.source.path for one in scratches if one.source] == ["mnist", "other.pth"]
    assert all(one.spec.source is None for one in scratches)
    assert len({one.folder(0) for one in scratches}) == len({one.name for one in scratches}) == 2


def test_all_seeds_have_the_same_test_part() -> None:
    assert all(one.spec.data.test_seed == 0 for one in grid(base(), {}, range(2)).configurations)
    assert grid(base({"data.test_seed": 4}), {}, range(2)).configurations[0].spec.data.test_seed == 4


def test_a_run_from_scratch_has_no_source_nor_what_needs_one() -> None:
    on = {"probe": True, "train.loss": "Classify() + LogitDistill()", "fisher.kind": "sampled", "batchnorm": "update"}
    spec = of(grid(base(on), {"source.coverage": [0.1, 0.2]}, [0]), "scratch").spec
    assert spec == base({"data.test_seed": 0}).model_copy(update={"source": None, "plan": spec.plan})
    assert spec.plan.preset == "none"
    kept = of(grid(base({"train.loss": "Classify(label_smoothing=0.1)"}), {}, [0]), "scratch").spec
    assert kept.train.loss == "Classify(label_smoothing=0.1)"


def test_a_linear_probe_trains_nothing_and_lp_ft_is_plain_fine_tuning_from_its_head() -> None:
    found = grid(base({"optimizer.lr": 0.1, "train.epochs": 2, "source.head": "random"}), {}, [0])
    probe, plain, stages = (of(found, name) for name in ("linear probe", "none", "lp-ft"))
    alone = {"source.head": "probe", "train.epochs": 0, "plan.preset": "frozen", "data.test_seed": 0}
    assert (probe.kind, probe.spec) == ("linear probe", base(alone))
    assert stages.spec == plain.spec.replace({"source.head": "probe"})
    assert (stages.kind, stages.digest == plain.digest) == ("lp-ft", False)


def test_a_varied_head_makes_the_baselines_that_it_amounts_to() -> None:
    found = grid(base(), {"plan": ["none", "l2_sp"], "source.head": ["zero", "probe"]}, range(2))
    started = [f"{name} · source.head zero" for name in ("none", "l2", "differential_l2", "l2_sp")]
    assert sorted(names(found)) == sorted(["scratch", "linear probe", *started, "lp-ft", "l2_sp · source.head probe"])
    assert of(found, "l2_sp · source.head probe").method == "l2_sp"


def test_plain_fine_tuning_does_not_start_at_a_probe() -> None:
    found = grid(base({"source.head": "probe"}), {"plan": ["l2_sp"]}, range(2))
    assert of(found, "none").spec.source == base().source


def test_an_axis_that_a_plan_lacks_is_dropped_for_it() -> None:
    plans = ["none", "frozen", "mars_sp(radius=1)", "l2", "l2_sp", "l2_sp_fisher"]
    found = varied(
        {"plan": plans, "plan.scale": [1, 2], "fisher.kind": ["exact", "empirical"], "plan.args.alpha": [1.0]}
    )
    assert names(found) == [
        "none",
        "frozen",
        "mars_sp(radius=1.0)",
        "l2",
        "l2 · plan.scale 2",
        "l2_sp(alpha=1.0)",
        "l2_sp(alpha=1.0) · plan.scale 2",
        "l2_sp_fisher(alpha=1.0)",
        "l2_sp_fisher(alpha=1.0) · fisher.kind empirical",
        "l2_sp_fisher(alpha=1.0) · plan.scale 2",
        "l2_sp_fisher(alpha=1.0) · plan.scale 2 · fisher.kind empirical",
    ]
    assert found.dropped == {
        "plan.scale": ("none", "frozen", "mars_sp"),
        "fisher.kind": ("none", "frozen", "mars_sp", "l2", "l2_sp"),
        "plan.args.alpha": ("none", "frozen", "mars_sp", "l2"),
    }


def test_what_would_run_alike_is_one() -> None:
    points = [{"plan": "l2_sp"}, {"plan": "l2_sp(alpha=0.1)"}, {"plan.preset": "l2_sp", "plan.scale": 1}, {}]
    points += [{"plan": "none", "plan.via": "prox"}, {"plan": "none"}, {"plan": "l2", "plan.via": "prox"}]
    found = varied({}, points=points)
    assert names(found) == ["l2_sp", "none", "l2 · plan.via prox"]
    assert found.merged == {"l2_sp": 3, "none": 1}


def test_points_are_beside_the_axes() -> None:
    found = varied({"plan": ["none"]}, points=[{"plan": "l2", "optimizer.lr": 1e-2}])
    assert names(found) == ["none", "l2 · optimizer.lr 0.01"]


def test_a_plan_replaces_the_specs_preset_and_expressions_and_keeps_the_rest() -> None:
    found = varied(
        {"plan": ["l2"]}, on={"plan.transferred": "L2(1)", "plan.scale": 2.0, "plan.overrides": {"a": "none"}}
    )
    assert names(found) == ["l2 · plan.overrides.a none · plan.scale 2"]


def test_a_setting_may_be_left_to_tether() -> None:
    found = varied({"optimizer.lr": [None, 1e-3]}, on={"optimizer.lr": 0.5})
    assert [one.spec.optimizer.lr for one in found.configurations] == [None, 1e-3]
    assert names(found) == ["l2_sp · optimizer.lr unset", "l2_sp · optimizer.lr 0.001"]


REFUSED: list[tuple[dict[str, list[Any]], str, str]] = [
    ({"optimizer.lr": [1e-3, -1]}, "`--vary optimizer.lr` is -1", "--vary 'optimizer.lr=0.5'"),
    ({"optimizer.rate": [1]}, "`optimizer.rate=1`: there is no setting `optimizer.rate`", "did you mean|known: "),
    ({"plan": ["l2sp"]}, "`plan=l2sp`: no preset is named `l2sp`", "did you mean `l2_sp`"),
    ({"plan": ["l1_sp"]}, "`plan=l1_sp`: the preset `l1_sp` needs `alpha`", re.escape("l1_sp(alpha=…)")),
    ({"plan": ["l2_sp(alpa=1)"]}, "has no argument `alpa`", "did you mean `alpha`"),
    ({"plan": ["l2-sp"]}, "`--vary plan l2-sp` is neither a preset", "l2_sp"),
    ({"plan": [1]}, "`--vary plan` is given 1", "none,l2"),
    ({"plan": []}, "the axis `plan` has no value", "--vary plan=VALUE"),
    ({"plan": ["l2", "l2"]}, "the axis `plan` has the value `l2` twice", "leave one"),
    ({"plan": ["l2(strength=1)", "l2(strength=1.0)"]}, "twice", "leave one"),
    ({"optimizer.lr": [1e-4, 0.0001]}, "has the value `0.0001` twice", "leave one"),
    ({"seed": [1, 2]}, "`seed` is no axis", "--seeds 10"),
    ({"plan": ["none"], "plan.scale": [1, 2]}, "no configuration has a use for the axis `plan.scale`", "leave it out"),
    ({"plan": ["l2_sp"], "plan.args.alpah": [1, 2]}, "for the axis `plan.args.alpah`", "`plan.args.alpha`"),
    ({"plan": ["l2"], "plan.preset": ["l2"]}, "the axes `plan` and `plan.preset` set the same", "leave out one"),
    ({"optimizer": [{}], "optimizer.lr": [1]}, "the axes `optimizer` and `optimizer.lr` set the same", "leave out"),
    ({"optimizer.lr": [1], 'optimizer."lr"': [2]}, "set the same", "leave out"),
    ({"plan": ["l2_sp(alpha=1)"], "plan.args.alpha": [2]}, "`plan.args.alpha` set the same", "out of the plan"),
    ({"optimizer.momentum": [0.5]}, "`optimizer.momentum=0.5`: .* has no effect beside", "sgd"),
    ({"plan.transferred": ["L2(1)"], "plan.preset": ["l2"]}, "exclude each other", "one of them"),
    ({"train.epochs": [*range(1, 999)], "data.per_class": [*range(1, 999)]}, "996,004 configurations", "leave out"),
    ({"*": [1]}, "is no key of a setting", ""),
]  # fmt: skip


@pytest.mark.parametrize(("vary", "what", "fix"), REFUSED, ids=lambda value: str(value)[:50])
def test_a_wrong_grid_is_refused_before_anything_runs(vary: dict[str, list[Any]], what: str, fix: str) -> None:
    with pytest.raises(SettingsError, match=what) as refusal:
        grid(base(), vary, range(2), baselines=False)
    assert refusal.value.why
    assert re.search(fix, refusal.value.fix)


def test_an_axis_is_a_list() -> None:
    with pytest.raises(SettingsError, match="the axis `plan` is 'l2', and no list of values"):
        grid(base(), {"plan": "l2"}, range(2))


@pytest.mark.parametrize(
    ("seeds", "what"),
    [
        ([], "no seed"),
        ([0, 1, 0], "the seed 0 is there twice"),
        ([-1], "the seed -1 is none"),
        ([2**32], "the seed 4294967296 is none"),
        ([True], "the seed True is none"),
        ([0.0], "the seed 0.0 is none"),
        (count(), "more than 100,000 seeds"),
        (range(60_000), "2 configurations, more than 1"),
    ],
)
def test_seeds_are_whole_numbers_each_of_them_once(seeds: Any, what: str) -> None:
    with pytest.raises(SettingsError, match=what) as refusal:
        grid(base(), {"plan": ["l2", "l2_sp"]}, seeds, baselines=False)
    assert refusal.value.why
    assert refusal.value.fix


def test_baselines_count_among_the_runs() -> None:
    with pytest.raises(SettingsError, match="7 configurations, times 20,000 seeds"):
        grid(base(), {"plan": ["l2"]}, range(20_000))


def test_without_a_source_there_are_no_baselines() -> None:
    alone = RunSpec.from_flags({"model.name": "digits-cnn", "data.path": "digits"})
    with pytest.raises(SettingsError, match="baselines need a source") as refusal:
        grid(alone, {"plan": ["none", "l2"]}, range(2))
    assert "--no-baselines" in refusal.value.fix
    assert names(grid(alone, {"plan": ["none", "l2"]}, range(2), baselines=False)) == ["none", "l2"]
    assert names(grid(alone, {}, range(2), baselines=False)) == ["none"]
    assert names(grid(alone, {"source.path": ["mnist"]}, range(2)))[0] == "scratch · source.path mnist"


def test_a_folder_is_the_same_in_every_grid_and_unlike_every_other() -> None:
    one, other = (
        grid(base(), {"plan": ["l2_sp"]}, range(3)),
        grid(base(), {"plan": ["l1_sp(alpha=1)", "l2_sp"]}, [2, 9]),
    )
    assert of(one, "l2_sp").folder(2) == of(other, "l2_sp").folder(2)
    folders = [configuration.folder(seed) for configuration, seed, _ in one.runs()]
    assert len(set(folders)) == len(folders) == 21
    assert folders[0].startswith("scratch-")
    assert all(
        re.fullmatch(r"[a-z0-9_]+(-[a-z0-9_]+)+-[0-9a-f]{16}-seed-\d+|[a-z0-9_]+-[0-9a-f]{16}-seed-\d+", one)
        for one in folders
    )


def test_a_folder_is_short_and_plain_whatever_the_preset_is_called() -> None:
    for odd in ("CON", "../x", "é" * 300, "a" * 300, "a:b|c"):
        folder = Configuration(odd, odd, "varied", "fit", base({"plan.preset": odd})).folder(2**32 - 1)
        assert re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,31}-[0-9a-f]{16}-seed-4294967295", folder)


def test_a_large_grid_is_one_screen() -> None:
    found = varied({"optimizer.lr": [at / 1000 for at in range(1, 200)]})
    assert len(str(found).splitlines()) <= 63
    assert "… and 139 more" in str(found)


AXES: dict[str, Any] = {
    "plan": [
        "none",
        "frozen",
        "l2",
        "l2(strength=1)",
        "l2_sp",
        "l1_sp(alpha=2)",
        "ewc(strength=1)",
        "mars_sp(radius=2)",
    ],
    "plan.scale": [0.5, 1, 1.0, 2],
    "plan.via": ["gradient", "prox", None],
    "plan.args.beta": [0.01, 1],
    "fisher.kind": ["exact", "empirical"],
    "batchnorm": ["source", "update"],
    "source.coverage": [0.1, 0.5],
    "train.epochs": [None, 5],
    'plan.overrides."*.bias"': ["none", "L2(1)"],
}
SETTINGS = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in AXES.items()})


@trying(max_examples=60)
@given(st.lists(SETTINGS, max_size=6), st.booleans())
def test_any_grid_names_each_configuration_once_and_says_what_it_runs(
    points: list[dict[str, Any]], beside: bool
) -> None:
    try:
        found = grid(base(), {}, range(2), points=points, baselines=beside)
    except SettingsError as error:
        assert "no configuration has a use for" in error.what
        return
    for key in ("name", "digest"):
        assert len({getattr(one, key) for one in found.configurations}) == len(found.configurations)
    varied = [one for one in found.configurations if one.role == "varied"]
    assert len(varied) + sum(found.merged.values()) == max(1, len(points))
    if beside:
        assert {*NAMES} <= {one.method for one in found.configurations}


def test_a_grid_is_made_without_torch() -> None:
    code = (
        "import sys; from tether.study.grid import grid; from tether.spec import RunSpec;"
        "spec = RunSpec.from_flags({'model.name': 'digits-cnn', 'data.path': 'digits', 'source.path': 'mnist'});"
        "grid(spec, {'plan': ['l2', 'ewc(strength=1)'], 'optimizer.lr': [None]}, range(2));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""What may be searched, and from where to where."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.trials import configurations
from tether.errors import SettingsError
from tether.spec import RunSpec
from tether.study.known import PRESETS
from tether.study.space import Range, of_use, ranges, read_range, refuse_unused


@pytest.mark.parametrize(
    "text, ends",
    [
        ("plan.scale=0.01..100", (0.01, 100.0)),
        ("plan.scale = 1e-2 .. 1E+2", (0.01, 100.0)),
        ("plan.scale=.5..5", (0.5, 5.0)),
        ("plan.scale=-1..inf", (-1.0, math.inf)),
    ],
)
def test_a_range_in_words(text: str, ends: tuple[float, float]) -> None:
    assert read_range(text) == ("plan.scale", ends)


@pytest.mark.parametrize(
    "text",
    [
        *("", "plan.scale", "plan.scale=", "plan.scale=1", "plan.scale=1..", "plan.scale=..2", "plan.scale=1..2..3"),
        *("plan.scale=1...2", "plan.scale=1,2", "plan.scale=a..b", "plan.scale=1..2x", "plan.scale=(1..2)", "=1..2"),
        *("plan.scale=0x1..2", "plan.scale=" + "1" * 2000 + "..2", "plan.scale=1\n..2\x1b", "plan.scale=١..٢"),
    ],
)
def test_words_that_are_no_range(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_range(text)
    assert caught.value.why and caught.value.fix
    assert "\x1b" not in str(caught.value)


positive = st.floats(min_value=1e-300, max_value=1e300)


@given(positive, positive)
def test_a_range_reads_back_from_its_words(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert read_range(str(Range("plan.scale", low, high))) == ("plan.scale", (low, high))


@given(positive, positive, st.floats(0, 1))
def test_what_is_tried_lies_in_the_range_and_near_what_was_drawn(one: float, other: float, share: float) -> None:
    low, high = sorted((one, other))
    drawn = min(max(math.exp(math.log(low) + share * (math.log(high) - math.log(low))), low), high)
    tried = Range("plan.scale", low, high).near(drawn)
    assert low <= tried <= high
    assert tried == pytest.approx(drawn, rel=5e-3)


def test_of_each_setting_its_kind() -> None:
    asked = {
        "plan.scale": (0.1, 10),
        "train.batch_size": (8, 64),
        "plan.args.alpha": (0.1, 1.0),
        "optimizer.lr": (1, 2),
    }
    found = {one.key: one.whole for one in ranges(asked, ())}
    assert found == {"plan.scale": False, "train.batch_size": True, "plan.args.alpha": False, "optimizer.lr": False}
    assert type(Range("train.batch_size", 8, 64, whole=True).near(20)) is int


REFUSED = {
    "seed": "paired|pairs",
    "threads": "how fast",
    "version": "format",
    "checkpoint.every": "nothing that a run learns",
    "checkpoint.keep": "nothing that a run learns",
    "data.validation": "chooses by the validation pictures",
    "data.fraction": "what is learnt from what",
    "data.per_class": "what is learnt from what",
    "source.coverage": "what is learnt from what",
    "preprocessing.size": "what is learnt from what",
    "plan": "a table|it takes",
    "plan.preset": "it takes",
    "batchnorm": "it takes",
    "source.head": "it takes",
    "data.augment": "it takes",
    "probe": "it takes",
    "plan.args": "it takes",
    "plan.overrides": "it takes",
    "plan.args.view": "it takes text",
    "optimiser.lr": "settings that are numbers",
    "plan.scales": "settings that are numbers",
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_no_search_may_choose(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ranges({key: (1, 2)}, ())
    assert re.search(REFUSED[key], caught.value.why), caught.value.why
    assert f"`{key}`" in caught.value.what
    assert caught.value.fix


def test_a_misspelt_key_names_the_nearest_number() -> None:
    with pytest.raises(SettingsError, match=r"did you mean `plan\.scale`"):
        ranges({"plan.scal": (1, 2)}, ())


@pytest.mark.parametrize("varied", ["plan.scale", "plan.args"])
def test_what_is_varied_is_not_searched_too(varied: str) -> None:
    key = "plan.args.alpha" if varied == "plan.args" else varied
    with pytest.raises(SettingsError, match="both varied and searched"):
        ranges({key: (1, 2)}, {varied})


def test_one_key_in_two_spellings_is_searched_twice() -> None:
    with pytest.raises(SettingsError, match="searched twice"):
        ranges({"plan.scale": (1, 2), 'plan."scale"': (1, 3)}, ())


@pytest.mark.parametrize(
    "ends, why",
    [
        ((0, 1), "no 0"),
        ((-1, 1), "no 0"),
        ((2, 1), "not below"),
        ((1, 1), "not below"),
        ((1, math.inf), "finite"),
        ((math.nan, 1), "finite"),
        ((1, 10**400), "finite"),
        ((True, 2), "lowest"),
        (("1", 2), "lowest"),
        ((1, 2, 3), "lowest"),
        ((1,), "lowest"),
        ("12", "lowest"),
        (3, "lowest"),
        (None, "lowest"),
    ],
)
def test_ends_that_nothing_lies_between(ends: Any, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ranges({"plan.scale": ends}, ())
    assert why in caught.value.why


def test_a_whole_number_has_whole_ends() -> None:
    with pytest.raises(SettingsError, match="whole numbers"):
        ranges({"train.batch_size": (1.5, 8)}, ())


@pytest.mark.parametrize(
    "key, ends", [("optimizer.momentum", (0.1, 1.0)), ("optimizer.warmup", (0.1, 1.5)), ("train.batch_size", (1, 2e9))]
)
def test_an_end_out_of_what_a_setting_takes(key: str, ends: tuple[float, float]) -> None:
    (one,) = configurations()
    with pytest.raises(SettingsError, match=re.escape(key)) as caught:
        of_use(one, ranges({key: ends}, ()))
    assert f"--search {key}" in str(caught.value)


def test_each_configuration_has_what_it_has_a_use_for() -> None:
    asked = ranges({"plan.scale": (0.1, 10), "plan.args.alpha": (0.1, 1), "optimizer.lr": (1e-4, 1e-2)}, ())
    found = {one.name: [each.key for each in of_use(one, asked)] for one in configurations(baselines=True)}
    assert found == {
        "scratch": ["optimizer.lr"],
        "linear probe": [],
        "none": ["optimizer.lr"],
        "l2": ["plan.scale", "optimizer.lr"],
        "differential_l2": ["plan.scale", "optimizer.lr"],
        "l2_sp": ["plan.scale", "plan.args.alpha", "optimizer.lr"],
        "lp-ft": ["optimizer.lr"],
    }


def test_another_packages_preset_may_take_any_argument() -> None:
    (one,) = configurations()
    other = RunSpec.from_flags(
        {"model.name": "digits-cnn", "data.path": "d", "source.path": "s", "plan.preset": "theirs"}
    )
    assert "theirs" not in PRESETS
    from dataclasses import replace

    assert of_use(replace(one, spec=other), ranges({"plan.args.theta": (1, 2)}, ()))
    assert not of_use(one, ranges({"plan.args.theta": (1, 2)}, ()))


def test_a_range_of_use_to_nothing_is_refused() -> None:
    asked = ranges({"plan.args.theta": (1, 2), "plan.scale": (1, 2)}, ())
    with pytest.raises(SettingsError, match=r"no configuration has a use for the searched `plan\.args\.theta`"):
        refuse_unused(asked, {"plan.scale"})
    refuse_unused(asked, {"plan.scale", "plan.args.theta"})

"""What validation chooses under one condition, and which runs belong to it."""

from pathlib import Path
from typing import Any

import pytest

from study.runs import Fake, base, left, noisy
from tether.errors import DataError
from tether.study.part import UNCHOSEN, Part, conditions
from tether.study.place import Place
from tether.study.study import Study

SEEDS = (0, 1)
FRACTIONS = {"data.fraction": [0.5, 1.0]}


def parts(study: Study, place: Place) -> list[Part]:
    return [Part.of(condition, study.grid, place) for condition in conditions(study.grid)]


def validated(*marks: tuple[float, float]) -> dict[int, Fake]:
    """Runs of the first seeds with these accuracies and NLLs on validation."""
    return {seed: noisy(seed, 0.6).of(validation=mark) for seed, mark in enumerate(marks)}


@pytest.fixture
def scaled() -> Study:
    return Study(base(), {"plan": ["l2_sp", "none"], "plan.scale": [1, 10, 100]}, seeds=SEEDS, baselines=False)


NAMES = ("l2_sp", "l2_sp · plan.scale 10", "l2_sp · plan.scale 100")


@pytest.mark.parametrize(
    ("marks", "chosen"),
    [
        ([[(0.5, 1), (0.5, 1)], [(0.8, 1), (0.4, 1)], [(0.5, 1), (0.6, 1)]], 1),
        ([[(0.5, 1), (0.5, 1)], [(0.6, 3), (0.4, 1)], [(0.5, 1), (0.5, 0.5)]], 2),
        ([[(0.5, 1), (0.5, 1)], [(0.9, 1)], [(0.4, 1), (0.4, 1)]], 0),
        ([[], [(0.2, 9)], []], 1),
    ],
    ids=["mean accuracy", "a tie by mean NLL", "not one that has failed", "the only one"],
)
def test_validation_chooses(scaled: Study, tmp_path: Path, marks: list[Any], chosen: int) -> None:
    runs = dict(zip(NAMES, (validated(*rows) for rows in marks), strict=True))
    part, *others = parts(scaled, left(scaled, tmp_path, runs | {"none": validated((0.1, 1), (0.1, 1))}))
    assert not others
    assert part.chosen_by == "validation"
    assert [(one.name, one.chosen) for one in part.methods] == [("l2_sp", NAMES[chosen]), ("none", "none")]
    assert part.methods[0].candidates == NAMES
    found = part.of_method("l2_sp")
    assert found is not None
    assert found.configuration.name == NAMES[chosen]
    assert part.of_method("l2") is None


def test_what_is_right_on_test_is_not_looked_at(scaled: Study, tmp_path: Path) -> None:
    runs = {
        NAMES[0]: {seed: noisy(seed, 1.0).of(validation=(0.5, 1.0)) for seed in SEEDS},
        NAMES[1]: {seed: noisy(seed, 0.1).of(validation=(0.6, 1.0)) for seed in SEEDS},
    }
    part, *_ = parts(scaled, left(scaled, tmp_path, runs))
    assert part.methods[0].chosen == NAMES[1]


def test_without_validation_every_configuration_stands_for_itself(scaled: Study, tmp_path: Path) -> None:
    runs = {name: {0: noisy(0, 0.5).of(validation=None)} for name in NAMES}
    part, *_ = parts(scaled, left(scaled, tmp_path, runs))
    assert part.chosen_by == UNCHOSEN
    assert [(one.name, one.chosen, one.candidates) for one in part.methods] == [
        (name, name, (name,)) for name in (*NAMES, "none")
    ]


def test_without_validation_a_method_is_named_alike_under_every_condition(tmp_path: Path) -> None:
    study = Study(base(), FRACTIONS | {"plan": ["none", "l2"]}, seeds=SEEDS)
    found = parts(study, left(study, tmp_path, {}))
    assert [part.condition for part in found] == [{"data.fraction": 0.5}, {"data.fraction": 1.0}]
    names = [[one.name for one in part.methods] for part in found]
    assert names[0] == names[1] == ["scratch", "linear probe", "none", "l2", "differential_l2", "l2_sp", "lp-ft"]
    assert [part.name for part in found] == ["data.fraction 0.5", "data.fraction 1.0"]


def test_scratch_stands_in_every_condition_of_a_source(tmp_path: Path) -> None:
    study = Study(base(), {"source.coverage": [0.1, 0.2]}, seeds=SEEDS)
    found = parts(study, left(study, tmp_path, {}))
    assert [part.condition for part in found] == [{"source.coverage": 0.1}, {"source.coverage": 0.2}]
    kinds = [[one.configuration.kind for one in part.evidence] for part in found]
    assert kinds[0] == kinds[1]
    assert kinds[0].count("scratch") == 1


def test_a_listed_point_is_of_no_condition_that_it_does_not_name(tmp_path: Path) -> None:
    study = Study(base(), points=[{"plan": "l2"}, {"plan": "l2", "data.fraction": 0.5}], seeds=SEEDS, baselines=False)
    found = parts(study, left(study, tmp_path, {}))
    assert [(part.condition, len(part.evidence)) for part in found] == [({}, 1), ({"data.fraction": 0.5}, 1)]


@pytest.mark.parametrize(("changes", "told"), [({"tested": "x"}, "was tested on other"), ({"data": "x"}, "had other")])
def test_runs_on_other_pictures_are_refused(scaled: Study, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    runs = {NAMES[0]: {0: noisy(0, 0.5)}, NAMES[1]: {0: noisy(0, 0.5), 1: noisy(1, 0.5).of(**changes)}}
    place = left(scaled, tmp_path, runs)
    with pytest.raises(DataError, match=told) as refused:
        parts(scaled, place)
    assert str(place.run(scaled.grid.configurations[1].folder(1))) in refused.value.what


def test_other_conditions_may_have_other_pictures(tmp_path: Path) -> None:
    study = Study(base(), FRACTIONS | {"plan": ["l2"]}, seeds=SEEDS, baselines=False)
    runs = {
        "l2 · data.fraction 0.5": {0: noisy(0, 0.5)},
        "l2 · data.fraction 1.0": {0: noisy(0, 0.5).of(tested="others", data="others")},
    }
    assert [part.digest for part in parts(study, left(study, tmp_path, runs))] == ["data", "others"]


RETAINED, UNLABELLED, AGREED = (
    "accuracy on the source task, by the source's head",
    "agreement with the source model on the unlabelled pictures",
    "agreement with the source model on target pictures",
)
SAID = {"agreement": 0.9, "kl": 0.1, "features": 0.2}


@pytest.mark.parametrize(
    ("first", "second", "measure"),
    [
        ({"retention": 0.5, "agreement": SAID, "unlabelled": SAID}, {"retention": 0.5, "agreement": SAID}, RETAINED),
        ({"agreement": SAID, "unlabelled": SAID}, {"agreement": SAID, "unlabelled": SAID}, UNLABELLED),
        ({"retention": 0.5, "agreement": SAID, "unlabelled": SAID}, {"agreement": SAID}, AGREED),
        ({"retention": 0.5}, {"agreement": SAID}, ""),
        ({}, {}, ""),
    ],
)
def test_what_is_kept_is_told_by_one_measure_that_every_run_with_a_source_has(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], measure: str
) -> None:
    study = Study(base(), {"plan": ["none", "l2"]}, seeds=SEEDS)
    runs = {
        "none": {0: noisy(0, 0.5).of(**first)},
        "l2": {1: noisy(1, 0.5).of(**second)},
        "scratch": {0: noisy(0, 0.5)},
    }
    part, *_ = parts(study, left(study, tmp_path, runs))
    assert part.measure == measure
    kept = {one.configuration.name: one.results[0].kept for one in part.evidence}
    assert kept["none"] == {RETAINED: 0.5, UNLABELLED: 0.9, AGREED: 0.9, "": None}[measure]
    assert kept["scratch"] is None


def test_counts_classes_and_how_much_the_seeds_share(scaled: Study, tmp_path: Path) -> None:
    drawn = {0: ("a", "b", "c", "d"), 1: ("a", "b", "c", "x")}
    runs = {NAMES[0]: {seed: noisy(seed, 0.5).of(train=drawn[seed]) for seed in SEEDS}, NAMES[1]: {0: noisy(0, 0.5)}}
    part, *_ = parts(scaled, left(scaled, tmp_path, runs))
    assert part.counts == {"train": 4, "validation": 1, "test": 60}
    assert part.classes == ("a", "b", "c")
    assert part.overlap == 0.75
    assert part.digest == "data"


def test_how_much_three_seeds_share_is_the_mean_over_pairs(tmp_path: Path) -> None:
    study = Study(base(), {"plan": ["l2"]}, seeds=range(3), baselines=False)
    drawn = [("a", "b"), ("a", "b"), ("c", "b")]
    place = left(study, tmp_path, {"l2": {seed: noisy(seed, 0.5).of(train=drawn[seed]) for seed in range(3)}})
    assert parts(study, place)[0].overlap == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_before_any_run_there_is_nothing(scaled: Study, tmp_path: Path) -> None:
    part, *_ = parts(scaled, left(scaled, tmp_path, {}))
    assert (part.counts, part.classes, part.digest, part.measure) == ({}, (), "", "")
    assert part.chosen_by == UNCHOSEN

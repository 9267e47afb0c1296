"""What a study found, against what its runs say when they are read by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from study.runs import Fake, base, flagged, left, noisy, of
from tether.errors import DataError, SettingsError
from tether.study.comparison import Comparison
from tether.study.gather import read_study
from tether.study.intervals import on_new_data, on_test_set
from tether.study.multiple import holm
from tether.study.place import Place
from tether.study.study import Study

SEEDS = (0, 1, 2, 3)
SKILLS = {"scratch": 0.4, "linear probe": 0.6, "none": 0.62, "l2": 0.6, "differential_l2": 0.61, "l2_sp": 0.8}
SAID = {"agreement": 0.9, "kl": 0.1, "features": 0.2}


def runs_of(skill: float, seeds: Sequence[int] = SEEDS, **changes: Any) -> dict[int, Fake]:
    return {seed: noisy(seed, skill, items=80).of(**changes) for seed in seeds}


def right(runs: dict[int, Fake], seeds: Sequence[int] = SEEDS) -> np.ndarray:
    return np.stack([runs[seed].answers.right for seed in seeds])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, dict[str, dict[int, Fake]]]:
    """Two conditions with baselines, of which the second has no LP-FT."""
    study = Study(base(), {"plan": ["none", "l2"]}, seeds=SEEDS, fractions=[0.5, 1.0])
    runs = {
        f"{name} · data.fraction {share}": runs_of(skill + lift, retention=skill / 2)
        for name, skill in SKILLS.items()
        for share, lift in ((0.5, 0.0), (1.0, 0.15))
    }
    runs["lp-ft · data.fraction 0.5"] = runs_of(0.63, retention=0.25)
    folder = tmp_path_factory.mktemp("gather") / "study"
    left(study, folder, runs)
    return read_study(folder), runs


def test_each_method_is_compared_with_plain_fine_tuning_on_new_data_with_all_others(
    whole: tuple[Comparison, dict[str, dict[int, Fake]]],
) -> None:
    found, runs = whole
    assert found.against == "none"
    assert [len(group.contrasts) for group in found.groups] == [6, 5]
    contrasts = [(group, one) for group in found.groups for one in group.contrasts]
    level = 1 - 0.05 / 11
    by_hand = []
    for group, one in contrasts:
        share = f" · data.fraction {group.settings['data.fraction']}"
        by_hand.append(on_new_data(right(runs[one.ours + share]), right(runs[f"none{share}"]), level=level))
        assert one.theirs == "none"
        assert one.verdict.interval == by_hand[-1]
        assert (one.verdict.level, one.verdict.count) == (0.95, 11)
        assert (one.verdict.winner is not None) == (by_hand[-1].low > 0 or by_hand[-1].high < 0)
    assert [one.verdict.p for _, one in contrasts] == holm([interval.p for interval in by_hand])


def test_on_this_test_set_every_metric_has_students_interval_over_the_seeds(
    whole: tuple[Comparison, dict[str, dict[int, Fake]]],
) -> None:
    found, runs = whole
    one = next(one for one in found.groups[0].contrasts if one.ours == "l2_sp")
    assert one.test_set.keys() == {"accuracy", "balanced", "f1", "nll", "brier", "ece", "kept"}
    ours, theirs = (runs[f"{name} · data.fraction 0.5"] for name in ("l2_sp", "none"))
    differences = np.array([ours[seed].answers.nll.mean() - theirs[seed].answers.nll.mean() for seed in SEEDS])
    reach = student.ppf(0.975, 3) * differences.std(ddof=1) / 2
    found_nll = one.test_set["nll"]
    assert [found_nll.low, found_nll.estimate, found_nll.high] == pytest.approx(
        [differences.mean() - reach, differences.mean(), differences.mean() + reach]
    )
    assert one.test_set["kept"].estimate == pytest.approx((SKILLS["l2_sp"] - SKILLS["none"]) / 2)


def test_transfer_is_the_contrast_with_scratch_the_other_way_round(
    whole: tuple[Comparison, dict[str, dict[int, Fake]]],
) -> None:
    for group in whole[0].groups:
        scratch = next(one for one in group.contrasts if one.ours == "scratch")
        assert group.transfer is not None
        assert (group.transfer.ours, group.transfer.theirs) == ("none", "scratch")
        ours, theirs = group.transfer.verdict, scratch.verdict
        assert (ours.interval.low, ours.interval.high) == (-theirs.interval.high, -theirs.interval.low)
        assert (ours.interval.estimate, ours.p, ours.winner) == (-theirs.interval.estimate, theirs.p, theirs.winner)
        assert group.transfer.test_set["f1"].low == -scratch.test_set["f1"].high


def test_how_many_seeds_or_items_are_needed_is_told_where_nothing_is_seen(
    whole: tuple[Comparison, dict[str, dict[int, Fake]]],
) -> None:
    contrasts = [one for group in whole[0].groups for one in group.contrasts]
    assert {one.verdict.winner is None for one in contrasts} == {True, False}
    for one in contrasts:
        is_open = one.verdict.winner is None
        assert (one.seeds_needed is not None) == (one.items_needed is not None) == is_open
        if one.seeds_needed is not None:
            assert (one.seeds_needed.difference, one.seeds_needed.items) == (0.01, 80)


def test_the_rest_of_a_comparison(whole: tuple[Comparison, dict[str, dict[int, Fake]]]) -> None:
    found, runs = whole
    assert found.title == "digits-cnn: mnist → pictures"
    assert found.seeds == SEEDS
    assert found.data == {"data.fraction 0.5": "data", "data.fraction 1.0": "data"}
    assert found.missing == 4
    assert not found.failed
    assert found.seconds == 2.0 * 4 * len(runs)
    assert found.environments == ({"device": "cpu"},)
    assert found.command.startswith("tether study ")
    assert "--fractions 0.5,1" in found.command
    group = found.groups[0]
    assert group.counts == {"train": 2, "validation": 1, "test": 80}
    assert group.classes == ("a", "b", "c")
    assert group.measure == "accuracy on the source task, by the source's head"
    assert group.candidate("l2_sp").kept == on_test_set([SKILLS["l2_sp"] / 2] * 4, [0.0] * 4)
    assert group.chosen_by == "validation"
    assert str(found).startswith("digits-cnn: mnist → pictures\n")


def study_of(plans: Sequence[str], seeds: Sequence[int] = SEEDS, *, baselines: bool = False) -> Study:
    return Study(base(), {"plan": list(plans)}, seeds=seeds, baselines=baselines)


@pytest.mark.parametrize(
    ("plain", "scratch", "winner", "sentence"),
    [
        (0.8, 0.4, "none", "transfer helps: plain fine-tuning against scratch +"),
        (0.4, 0.8, "scratch", "negative transfer: plain fine-tuning against scratch −"),
        (0.6, 0.6, None, "transfer against scratch is within the noise: "),
    ],
)
def test_the_verdict_on_transfer(
    tmp_path: Path, plain: float, scratch: float, winner: str | None, sentence: str
) -> None:
    study = study_of(["none"], baselines=True)
    left(study, tmp_path, {"none": runs_of(plain), "scratch": {s: noisy(9 + s, scratch, items=80) for s in SEEDS}})
    found = read_study(tmp_path)
    assert found.groups[0].transfer is not None
    assert found.groups[0].transfer.verdict.winner == winner
    assert any(one.startswith(sentence) for one in found.summary)


@pytest.mark.parametrize(("against", "count"), [("l2", 4), ("scratch", 3), ("none", 3)])
def test_against_any_method_transfer_is_one_of_those_that_hold_together(
    tmp_path: Path, against: str, count: int
) -> None:
    study = study_of(["none"], baselines=True)
    made = {name: runs_of(SKILLS[name]) for name in ("scratch", "none", "l2", "l2_sp")}
    left(study, tmp_path, made)
    group = read_study(tmp_path, against).groups[0]
    assert group.transfer is not None
    by_hand = on_new_data(right(made["none"]), right(made["scratch"]), level=1 - 0.05 / count)
    assert group.transfer.verdict.interval.low == pytest.approx(by_hand.low)
    assert group.transfer.verdict.interval.high == pytest.approx(by_hand.high)
    assert {one.verdict.count for one in (*group.contrasts, group.transfer)} == {count}
    assert {one.theirs for one in group.contrasts} == {against}
    assert len(group.contrasts) == 3


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    left(study_of(["none", "l2_sp"]), tmp_path, {})
    with pytest.raises(SettingsError, match="no method of the study is named `l2sp`") as refused:
        read_study(tmp_path, "l2sp")
    assert "`none`, `l2_sp`" in refused.value.why
    assert "l2_sp" in refused.value.fix


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no study is in"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("seeds", 3), ("vary", None), ("points", 1), ("spec", None), ("fractions", {"a": 1}), ("seeds", None)],
)
def test_a_study_that_is_none_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    left(study_of(["none", "l2_sp"]), tmp_path, {})
    found = json.loads((tmp_path / "study.json").read_text())
    found[key] = value
    if value is None:
        del found[key]
    (tmp_path / "study.json").write_text(json.dumps(found))
    with pytest.raises((DataError, SettingsError)):
        read_study(tmp_path)


def test_methods_are_compared_on_the_seeds_that_both_have(tmp_path: Path) -> None:
    study = study_of(["none", "l2", "l2_sp"])
    runs = {"none": runs_of(0.6), "l2": runs_of(0.7, (1, 2, 3)), "l2_sp": runs_of(0.7, (3,))}
    place = left(study, tmp_path, runs)
    place.note_failure(of(study, "l2").folder(0), {"error": "its process ended by SIGKILL"})
    found = read_study(tmp_path)
    (one,) = found.groups[0].contrasts
    assert one.ours == "l2"
    assert one.verdict.interval == on_new_data(right(runs["l2"], (1, 2, 3)), right(runs["none"], (1, 2, 3)))
    assert found.failed == (("l2", 0, "its process ended by SIGKILL"),)
    assert found.missing == 3
    assert "1 run failed; what has failed is compared on the seeds that are left." in found.notes
    assert "3 runs have not ended; this is what there is so far." in found.notes


def test_one_seed_compares_nothing(tmp_path: Path) -> None:
    left(study_of(["none", "l2"], (0,)), tmp_path, {name: runs_of(0.6, (0,)) for name in ("none", "l2")})
    found = read_study(tmp_path)
    assert found.groups[0].contrasts == ()
    assert found.summary == ("nothing can be compared with plain fine-tuning: that takes two seeds or more of both",)
    assert "One seed shows nothing of how far seeds differ, so there is no interval, and no winner." in found.notes


def test_a_study_that_has_not_begun_can_be_read(tmp_path: Path) -> None:
    left(study_of(["none", "l2"], baselines=True), tmp_path, {})
    found = read_study(tmp_path)
    assert found.missing == 4 * 7
    assert found.groups[0].transfer is None
    assert str(found)


def test_of_two_runs_one_that_saw_other_test_pictures_is_refused(tmp_path: Path) -> None:
    left(study_of(["none", "l2"]), tmp_path, {"none": runs_of(0.6), "l2": runs_of(0.6, tested="others")})
    with pytest.raises(DataError, match="was tested on other pictures"):
        read_study(tmp_path)


def held(strength: float, toward: str = "source") -> dict[str, Any]:
    return {"held": [("w", (3,), "transferred", toward, strength)]}


def scaled(**vary: Any) -> Study:
    return Study(base(), {"plan": ["none", "l2_sp"], "plan.scale": [10, 1, 0.1], **vary}, seeds=SEEDS, baselines=False)


def test_a_sweep_is_a_penalty_by_rising_strength_against_none(tmp_path: Path) -> None:
    runs = {
        "none": runs_of(0.6),
        "l2_sp · plan.scale 10": runs_of(0.9, **held(1.0)),
        "l2_sp": runs_of(0.61, **held(0.1)),
        "l2_sp · plan.scale 0.1": runs_of(0.6, **held(0.01)),
    }
    left(scaled(), tmp_path, runs)
    found = read_study(tmp_path)
    (sweep,) = found.groups[0].sweeps
    names = ("l2_sp · plan.scale 0.1", "l2_sp", "l2_sp · plan.scale 10")
    assert (sweep.method, sweep.reference, sweep.candidates, sweep.settings) == ("l2_sp", "source", names, {})
    by_hand = [on_new_data(right(runs[name]), right(runs["none"]), level=1 - 0.05 / 3) for name in names]
    assert [one.interval for one in sweep.contrasts] == by_hand
    assert {one.theirs for one in sweep.contrasts} == {"none"}
    assert sweep.matters
    assert [one.winner for one in sweep.contrasts] == [None, None, "l2_sp · plan.scale 10"]
    assert [one.strength for one in found.groups[0].candidates] == [None, 1.0, 0.1, 0.01]


def test_without_plain_fine_tuning_a_sweep_is_against_its_weakest(tmp_path: Path) -> None:
    study = Study(base(), {"plan.scale": [1, 10]}, seeds=SEEDS, baselines=False)
    runs = {"l2_sp": runs_of(0.6, **held(0.1)), "l2_sp · plan.scale 10": runs_of(0.6, **held(1.0))}
    left(study, tmp_path, runs)
    (sweep,) = read_study(tmp_path).groups[0].sweeps
    assert [(one.ours, one.theirs) for one in sweep.contrasts] == [("l2_sp · plan.scale 10", "l2_sp")]
    assert sweep.matters == any(one.winner for one in sweep.contrasts)


def test_one_strength_or_two_references_make_no_sweep(tmp_path: Path) -> None:
    runs = {
        "none": runs_of(0.6),
        "l2_sp": runs_of(0.6, **held(0.1)),
        "l2_sp · plan.scale 10": runs_of(0.6, **held(1.0, "zero")),
    }
    left(scaled(), tmp_path, runs)
    assert read_study(tmp_path).groups[0].sweeps == ()


def test_a_sweep_keeps_all_else_equal(tmp_path: Path) -> None:
    """A rate that is too high for all is no matter of the strength."""
    study = scaled(**{"optimizer.lr": [0.001, 1.0]})
    runs = {}
    for rate, skill in ((0.001, 0.9), (1.0, 0.4)):
        for scale, name in ((10, " · plan.scale 10"), (1, "")):
            runs[f"l2_sp{name} · optimizer.lr {rate}"] = runs_of(skill, **held(scale * 0.1))
        runs[f"none · optimizer.lr {rate}"] = runs_of(skill)
    left(study, tmp_path, runs)
    sweeps = read_study(tmp_path).groups[0].sweeps
    assert [sweep.settings for sweep in sweeps] == [{"optimizer.lr": 0.001}, {"optimizer.lr": 1.0}]
    assert not any(sweep.matters for sweep in sweeps)
    for sweep in sweeps:
        assert {one.theirs for one in sweep.contrasts} == {f"none · optimizer.lr {sweep.settings['optimizer.lr']}"}


def test_without_validation_each_condition_has_its_contrasts_transfer_and_sweeps(tmp_path: Path) -> None:
    """As in a study of few labels, which has no pictures to validate on."""
    vary = {"plan": ["none", "l2_sp"], "plan.scale": [1, 10]}
    study = Study(base(), vary, seeds=SEEDS, fractions=[0.5, 1.0])
    runs = {}
    for share in (0.5, 1.0):
        beside = f" · data.fraction {share}"
        runs[f"none{beside}"] = runs_of(0.6, validation=None)
        runs[f"scratch{beside}"] = runs_of(0.3, validation=None)
        runs[f"l2_sp{beside}"] = runs_of(0.6, validation=None, **held(0.1))
        runs[f"l2_sp · plan.scale 10{beside}"] = runs_of(0.6, validation=None, **held(1.0))
    left(study, tmp_path, runs)
    found = read_study(tmp_path)
    assert found.against == "none"
    for group in found.groups:
        assert group.chosen_by.startswith("nothing")
        assert [one.ours for one in group.contrasts] == ["scratch", "l2_sp", "l2_sp · plan.scale 10"]
        assert group.transfer is not None
        assert group.transfer.verdict.winner == "none"
        (sweep,) = group.sweeps
        assert [one.theirs for one in sweep.contrasts] == ["none"] * 2
        assert group.method("l2_sp").chosen == "l2_sp"
        assert group.candidate(group.method("l2_sp").chosen).strength == 0.1


def test_where_nothing_differs_no_one_wins(tmp_path: Path) -> None:
    alike = {seed: flagged(np.arange(80) % 3 > 0) for seed in SEEDS}
    left(study_of(["none", "l2"]), tmp_path, {"none": alike, "l2": alike})
    (one,) = read_study(tmp_path).groups[0].contrasts
    assert one.verdict.winner is None
    assert one.verdict.interval.method == "no answer differs"
    assert (one.seeds_needed, one.items_needed) == (None, None)


def test_what_is_kept_is_agreement_where_there_are_no_source_pictures(tmp_path: Path) -> None:
    runs = {
        "none": runs_of(0.6, agreement=SAID | {"agreement": 0.5}),
        "l2_sp": runs_of(0.6, agreement=SAID),
    }
    left(study_of(["none", "l2_sp"]), tmp_path, runs)
    group = read_study(tmp_path).groups[0]
    assert group.measure == "agreement with the source model on target pictures"
    assert group.contrasts[0].test_set["kept"].estimate == pytest.approx(0.4)
    assert group.candidate("l2_sp").outputs == pytest.approx(SAID)


def test_a_damaged_run_is_named_and_the_others_stand(tmp_path: Path) -> None:
    study = study_of(["none", "l2"])
    place = left(study, tmp_path, {"none": runs_of(0.6), "l2": runs_of(0.6)})
    weights = place.run(of(study, "l2").folder(2)) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    found = read_study(tmp_path)
    ((name, seed, error),) = found.failed
    assert (name, seed) == ("l2", 2)
    assert f"`{weights}` differs from what was written" in error
    assert found.groups[0].contrasts[0].verdict.interval.seeds == 3


def test_a_run_of_two_conditions_is_counted_once(tmp_path: Path) -> None:
    study = Study(base(), {"source.coverage": [0.1, 0.2]}, seeds=SEEDS)
    place = left(study, tmp_path, {"scratch": runs_of(0.5, (0,))})
    place.note_failure(of(study, "scratch").folder(1), {"error": "it failed"})
    found = read_study(tmp_path)
    assert found.seconds == 2.0
    assert found.failed == (("scratch", 1, "it failed"),)
    assert found.missing == len(list(study.grid.runs())) - 2


def test_environments_that_differ_are_all_there(tmp_path: Path) -> None:
    runs = {"none": runs_of(0.6), "l2": runs_of(0.6, environment={"device": "cuda"})}
    left(study_of(["none", "l2"]), tmp_path, runs)
    assert read_study(tmp_path).environments == ({"device": "cpu"}, {"device": "cuda"})


def test_the_place_of_a_study_is_only_read(tmp_path: Path) -> None:
    left(study_of(["none", "l2"]), tmp_path, {"none": runs_of(0.6)})
    before = {one: one.stat().st_mtime_ns for one in tmp_path.rglob("*")}
    read_study(Place(tmp_path).folder)
    assert {one: one.stat().st_mtime_ns for one in tmp_path.rglob("*")} == before

"""What the runs of a configuration come to, against slow and independent figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from study.runs import CLASSES, Fake, base, left, noisy, of
from tether.study.evidence import Evidence
from tether.study.intervals import on_test_set
from tether.study.study import Study

SEEDS = (0, 1, 2)


@pytest.fixture
def study() -> Study:
    return Study(base(), {"plan": ["l2_sp"]}, seeds=SEEDS, baselines=False)


def evidence(study: Study, folder: Path, runs: dict[int, Fake], measure: str = "") -> Evidence:
    place = left(study, folder, {"l2_sp": runs})
    return Evidence.of(of(study, "l2_sp"), SEEDS, place, measure)


def test_means_are_students_over_the_seeds(study: Study, tmp_path: Path) -> None:
    runs = {seed: noisy(seed, 0.6) for seed in SEEDS}
    found = evidence(study, tmp_path, runs).candidate(3)
    accuracies = [accuracy_score(one.truth, one.answers.guess) for one in runs.values()]
    assert found.means["accuracy"] == on_test_set(accuracies, [0, 0, 0])
    f1 = [f1_score(one.truth, one.answers.guess, average="macro") for one in runs.values()]
    assert found.means["f1"].estimate == pytest.approx(np.mean(f1))
    assert "auroc" not in found.means
    assert found.seconds == 2.0
    assert [run.status for run in found.runs] == ["done"] * 3


def test_one_seed_has_no_interval(study: Study, tmp_path: Path) -> None:
    found = evidence(study, tmp_path, {1: noisy(1, 0.6)})
    mean = found.candidate(3).means["accuracy"]
    assert mean.low == mean.high == mean.estimate == noisy(1, 0.6).answers.right.mean()
    assert (mean.seeds, mean.level) == (1, 0.0)
    assert not found.is_whole
    assert found.seeds == (1,)


def test_the_mark_is_validations_mean_and_none_unless_every_run_has_it(study: Study, tmp_path: Path) -> None:
    runs = {0: noisy(0, 0.6).of(validation=(0.5, 1.0)), 1: noisy(1, 0.6).of(validation=(0.7, 3.0))}
    assert evidence(study, tmp_path / "both", runs).mark == pytest.approx((0.6, -2.0))
    runs[1] = runs[1].of(validation=None)
    assert evidence(study, tmp_path / "one", runs).mark is None


def test_the_confusion_matrix_is_that_of_all_runs_together(study: Study, tmp_path: Path) -> None:
    runs = {seed: noisy(seed, 0.5) for seed in SEEDS}
    truth = np.concatenate([one.truth for one in runs.values()])
    guess = np.concatenate([one.answers.guess for one in runs.values()])
    found = evidence(study, tmp_path, runs).candidate(len(CLASSES)).confusion
    assert np.array_equal(found, confusion_matrix(truth, guess, labels=[0, 1, 2]))


def test_reliability_is_that_of_the_calibration_curve(study: Study, tmp_path: Path) -> None:
    runs = {seed: noisy(seed, 0.5, items=300) for seed in SEEDS}
    found = evidence(study, tmp_path, runs).candidate(3).reliability
    assert found is not None
    right = np.concatenate([one.answers.right for one in runs.values()])
    confidence = np.concatenate([one.answers.confidence for one in runs.values()])
    share, mean = calibration_curve(right, confidence, n_bins=15)
    seen = [number for number, count in enumerate(found.counts) if count]
    assert len(found.counts) == 15
    assert sum(found.counts) == 900
    assert [found.accuracy[number] for number in seen] == pytest.approx(share)
    assert [found.confidence[number] for number in seen] == pytest.approx(mean)


def test_drift_adds_up_within_a_module_and_is_a_mean_over_runs(study: Study, tmp_path: Path) -> None:
    def row(name: str, norm: float, reference: float, mars: float) -> dict[str, Any]:
        return {"name": name, "values": 1, "norm": norm, "reference": reference, "relative": None, "mars": mars}

    first = [row("a.b.weight", 3, 6, 0.5), row("a.b.bias", 4, 8, 0.75), row("scale", 1, 0, 2)]
    second = [row("a.b.weight", 0, 6, 0), row("a.b.bias", 1, 8, 0.25), row("scale", 3, 0, 4)]
    runs = {0: noisy(0, 0.6).of(moved=first), 1: noisy(1, 0.6).of(moved=second)}
    module, alone = evidence(study, tmp_path, runs).candidate(3).drift
    # ‖(3, 4)‖ = 5 of ‖(6, 8)‖ = 10, and 1 of 10
    assert (module.layer, module.norm, module.relative, module.mars) == pytest.approx(("a.b", 3, 0.3, 0.5), abs=1e-12)
    assert (alone.layer, alone.norm, alone.relative, alone.mars) == ("scale", 2, 0, 3)


def test_history_is_a_mean_up_to_the_epoch_that_all_have_reached(study: Study, tmp_path: Path) -> None:
    def row(epoch: int, loss: float) -> dict[str, float]:
        return {"epoch": epoch, "step": 9, "loss": loss, "train_accuracy": 0.5, "validation_nll": loss / 2}

    runs = {
        0: noisy(0, 0.6).of(rows=[row(1, 1.0), row(2, 0.5), row(3, 9.0)]),
        1: noisy(1, 0.6).of(rows=[row(1, 2.0), row(2, 1.0)]),
    }
    assert evidence(study, tmp_path, runs).candidate(3).history == (
        {"epoch": 1, "loss": 1.5, "train_accuracy": 0.5, "validation_nll": 0.75},
        {"epoch": 2, "loss": 0.75, "train_accuracy": 0.5, "validation_nll": 0.375},
    )


def test_outputs_are_means_and_what_a_run_lacks_is_left_out(study: Study, tmp_path: Path) -> None:
    one, other = ({"agreement": 0.5, "kl": 1.0, "features": 0.1}, {"agreement": 0.7, "kl": 2.0, "features": None})
    runs = {0: noisy(0, 0.6).of(agreement=one), 1: noisy(1, 0.6).of(agreement=other)}
    found = evidence(study, tmp_path / "both", runs)
    assert found.candidate(3).outputs == pytest.approx({"agreement": 0.6, "kl": 1.5})
    runs[1] = noisy(1, 0.6)
    assert evidence(study, tmp_path / "one", runs).candidate(3).outputs == {}


def test_a_damaged_run_has_failed_and_the_others_stand(study: Study, tmp_path: Path) -> None:
    place = left(study, tmp_path, {"l2_sp": {seed: noisy(seed, 0.6) for seed in SEEDS}})
    one = of(study, "l2_sp")
    damaged = place.run(one.folder(1)) / "metrics.jsonl"
    damaged.write_text("{}\n")
    found = Evidence.of(one, SEEDS, place, "")
    assert [run.status for run in found.results] == ["done", "failed", "done"]
    assert f"`{damaged}` differs from what was written" in found.results[1].error
    assert found.seeds == (0, 2)
    assert found.candidate(3).means["accuracy"].seeds == 2


def test_a_run_that_failed_is_told_and_one_that_is_not_there_is_missing(study: Study, tmp_path: Path) -> None:
    place = left(study, tmp_path, {"l2_sp": {0: noisy(0, 0.6)}})
    one = of(study, "l2_sp")
    place.note_failure(one.folder(1), {"error": "the loss is not finite"})
    found = Evidence.of(one, SEEDS, place, "")
    assert [(run.status, run.error) for run in found.results] == [
        ("done", ""),
        ("failed", "the loss is not finite"),
        ("missing", ""),
    ]
    assert all(run.folder.parts[0] == "runs" for run in found.results)


def test_no_run_at_all_makes_an_empty_candidate(study: Study, tmp_path: Path) -> None:
    found = evidence(study, tmp_path, {})
    candidate = found.candidate(3)
    assert (candidate.means, candidate.validation, candidate.kept, candidate.confusion) == ({}, None, None, ())
    assert not found.is_tested


@pytest.mark.parametrize("seeds", [SEEDS, (2, 0)])
def test_scores_are_in_the_order_of_the_seeds_that_are_asked_for(
    study: Study, tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    runs = {seed: noisy(seed, 0.6).of(retention=seed / 10) for seed in SEEDS}
    found = evidence(study, tmp_path, runs, "accuracy on the source task, by the source's head")
    assert found.scores("kept", seeds) == [seed / 10 for seed in seeds]
    assert found.scores("accuracy", seeds) == [runs[seed].answers.right.mean() for seed in seeds]
    assert found.scores("auroc", seeds) is None
    assert np.array_equal(found.right(seeds), [runs[seed].answers.right for seed in seeds])

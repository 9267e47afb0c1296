"""An estimate is near what a run takes, and refuses what the run would refuse before its first step."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tether import RunSpec, TetherError, fit
from tether.engine.build import build
from tether.engine.estimate import TIMED_STEPS, estimate

Tuned = Callable[..., RunSpec]


@pytest.mark.parametrize(
    "changes",
    [
        {"train.epochs": 60},
        {"train.epochs": 60, "plan.preset": "none", "data.validation": 0.5, "data.per_class": 12},
        {"train.epochs": 1, "data.test": 0.9, "data.per_class": None, "data.path": "digits"},
    ],
    ids=["steps", "validation", "test"],
)
def test_an_estimate_is_within_a_factor_of_three(
    tuned: Tuned,
    stripes: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: Mapping[str, Any],
) -> None:
    """By the clock of this process, which what others take and what the disk takes do not move."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    monkeypatch.setattr(time, "monotonic", time.process_time)
    base = tuned({"data.path": str(stripes(count=24)), "optimizer.lr": 1e-4}).model_dump(exclude_none=True)
    base["data"].pop("per_class") if "data.per_class" in changes else None
    spec = RunSpec.parse(base).replace({key: value for key, value in changes.items() if value is not None})
    fit(spec, tmp_path / "warm", quiet=True)
    taken = fit(spec, tmp_path / "run", quiet=True).outcome["seconds"]
    found = median(estimate(build(spec)) for _ in range(3))
    assert taken / 3 < found < 3 * taken


def test_twice_the_epochs_take_twice_the_steps(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that ticks once a look: a step takes a tick, and so does the first batch of test pictures."""
    ticks = iter(range(10**6))
    monkeypatch.setattr("tether.engine.estimate.time.perf_counter", lambda: float(next(ticks)))
    for epochs in (3, 6):
        job = build(tuned({"train.epochs": epochs}))
        tested = len(job.task.split.test)
        assert job.steps == 3 * epochs
        assert estimate(job) == pytest.approx(job.steps + 2 * tested / min(tested, 256))


def test_only_some_steps_are_made(tuned: Tuned) -> None:
    job = build(tuned({"train.epochs": 100_000}))
    estimate(job)
    assert job.leash.steps_seen == TIMED_STEPS + 1


def test_of_a_run_without_epochs_no_step_is_made(tuned: Tuned) -> None:
    job = build(tuned({"train.epochs": 0, "source.head": "probe", "plan.preset": "frozen"}))
    assert estimate(job) > 0
    assert job.leash.steps_seen == 0


def test_a_run_that_diverges_is_estimated_and_not_refused(tuned: Tuned) -> None:
    assert estimate(build(tuned({"optimizer.lr": 1e30, "plan.preset": "none"}))) > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"plan.transferred": "L2(1e-12)"},
        {"source.data": "digits"},
        {"source.data": "{root}/none"},
        {"source.unlabelled": "{root}/none"},
        {
            "source.path": "{resnet}",
            "source.exclude": ["linear.*"],
            "model.name": "cifar-resnet20",
            "batchnorm": "update",
            "train.auto_batch": True,
        },
    ],
    ids=["rounds", "classes", "no-data", "no-pictures", "auto-batch"],
)
def test_what_a_run_refuses_is_refused(
    tuned: Tuned, resnet_run: Path, tmp_path: Path, changes: Mapping[str, Any]
) -> None:
    places = {"root": tmp_path, "resnet": resnet_run}
    filled = {key: value.format(**places) if isinstance(value, str) else value for key, value in changes.items()}
    spec = tuned(filled)
    job = build(spec)  # it is not what is refused by `build`
    with pytest.raises(TetherError) as expected:
        fit(spec, tmp_path / "run")
    with pytest.raises(TetherError) as found:
        estimate(job)
    assert (found.value.what, found.value.why, found.value.exit_code) == (
        expected.value.what,
        expected.value.why,
        expected.value.exit_code,
    )

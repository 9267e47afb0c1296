"""What changes in training is taken from a state of this run only."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tether import RunSpec, fit, resume
from tether.engine.build import build
from tether.engine.checkpoints import Checkpoints
from tether.engine.optimise import make_optimizer
from tether.engine.training import Sums, Training, generators, set_generators
from tether.errors import CheckpointError, Notice

Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def training(settings: Settings) -> Training:
    job = build(RunSpec.from_flags(settings()))
    return Training(job, make_optimizer(job.spec.optimizer, job.model))


def test_a_state_taken_back_is_the_state(training: Training) -> None:
    weights, state = dict(training.job.model.state_dict()), training.state()
    drawn = torch.rand(3), np.random.rand(3)
    training.step, training.epoch, training.seconds = 7, 2, 5.0
    training.restore(weights, state)
    assert (training.step, training.epoch, training.seconds) == (0, 0, 0.0)
    assert torch.equal(torch.rand(3), drawn[0])
    assert np.array_equal(np.random.rand(3), drawn[1])


FORGED: dict[str, Callable[[Any], Any]] = {
    "no place": lambda state: {key: value for key, value in state.items() if key != "at"},
    "another optimiser": lambda state: state | {"optimizer": {"state": {}, "param_groups": []}},
    "no generators": lambda state: state | {"ranks": [{"sums": {}}]},
    "sums of another kind": lambda state: state | {"ranks": [state["ranks"][0] | {"sums": {"job": 1}}]},
    "scores of an earlier version": lambda state: state | {"best": state["best"] | {"validation": {"accuracy": 1.0}}},
    "a state of an earlier version": lambda state: {key: state[key] for key in state if key != "unlabelled"},
    "no rows": lambda state: state | {"best": None},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_state_that_is_none_of_this_run_is_refused(training: Training, what: str) -> None:
    with pytest.raises(CheckpointError, match="cannot be taken") as refusal:
        training.restore(training.job.model.state_dict(), FORGED[what](training.state()))
    assert refusal.value.why and refusal.value.fix


def test_a_state_sets_nothing_beside_its_place(training: Training) -> None:
    state = training.state()
    training.restore(training.job.model.state_dict(), state | {"at": state["at"] | {"job": "forged"}})
    assert training.job != "forged"


def test_weights_of_another_network_are_refused(training: Training) -> None:
    with pytest.raises(CheckpointError, match="cannot be taken: RuntimeError"):
        training.restore({"conv1.weight": torch.zeros(1)}, training.state())


@pytest.mark.parametrize("state", [[], {}, "text"])
def test_a_forged_checkpoint_ends_in_a_refusal(settings: Settings, tmp_path: Path, state: Any) -> None:
    fit(RunSpec.from_flags(settings({"train.epochs": 1})), tmp_path / "run")
    (tmp_path / "run/manifest.json").unlink()
    checkpoints = Checkpoints(tmp_path / "run", keep=1)
    checkpoints.save(99, {"conv1.weight": torch.zeros(1)}, state, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)  # of what is no state at all, which is passed over
        with pytest.raises(CheckpointError):
            resume(tmp_path / "run")


def test_sums_of_processes_are_one_sum() -> None:
    one, other = Sums(1.5, 2, 4, {"terms/a": 1.0}), Sums(0.5, 1, 4, {"terms/a": 3.0})
    assert Sums.over([one, other]).row() == {"loss": 0.25, "train_accuracy": 0.375, "terms/a": 0.5}


def test_all_generators_are_put_back() -> None:
    import random

    before = generators()
    first = random.random(), np.random.rand(), torch.rand(1).item()
    set_generators(before)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == first

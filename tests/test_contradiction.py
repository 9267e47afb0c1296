"""Settings that exclude each other are refused; a default, and what another plan would need, is not."""

from typing import Any

import pytest

from tether.errors import SettingsError
from tether.spec import RunSpec

LEAST: dict[str, Any] = {"model.name": "digits-cnn", "data.path": "digits", "source.path": "s"}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"plan.preset": "l2", "plan.new": "L2(0.1)"}, "exclude each other"),
    ({"plan.preset": "l2", "plan.transferred": "none"}, "exclude each other"),
    ({"plan.args.alpha": 1.0}, "none is named"),
    ({"plan.preset": "ewc", "plan.args.fisher": "x"}, "cannot be written"),
    ({"plan.metric": "optimizer", "plan.via": "gradient"}, "exclude each other"),
    ({"data.test": 1.0}, "nothing to train on"),
    ({"data.validation": 1.0}, "nothing to train on"),
    ({"data.test": 0.5, "data.per_class": 3}, "no effect beside"),
    ({"data.fraction": 0.5, "data.per_class": 3}, "exclude each other"),
    ({"train.patience": 3, "data.validation": 0.0}, "needs validation"),
    ({"fisher.data": "source"}, "needs the source's pictures"),
    ({"fisher.draws": 2, "fisher.kind": "empirical"}, "no effect beside"),
    ({"optimizer.momentum": 0.8}, "no effect beside"),
    ({"preprocessing.channels": 3, "preprocessing.mean": [0.1, 0.2]}, "2 values for 3 channels"),
    ({"preprocessing.channels": 1, "preprocessing.std": [0.1, 0.2, 0.3]}, "3 values for 1 channels"),
]
RIGHT: list[dict[str, Any]] = [
    {"plan.preset": "l2", "plan.overrides": {"*.bias": "none"}},
    {"plan.new": "L2(0.1)", "plan.metric": "optimizer", "plan.via": "prox"},
    {"data.test": 0.2, "data.per_class": 3},
    {"data.test": 0.5},
    {"data.test": 0.5, "data.per_class": 3, "data.test_seed": 0},
    {"train.patience": 3, "data.validation": 0.1},
    {"train.patience": 3},
    {"fisher.draws": 2, "fisher.kind": "sampled"},
    {"fisher.floor": 0.1, "plan.preset": "l2"},
    {"fisher.data": "source", "source.data": "p"},
    {"optimizer.name": "sgd", "optimizer.momentum": 0.8},
    {"optimizer.momentum": 0.9},
    {"preprocessing.channels": 3, "preprocessing.mean": [0.1], "preprocessing.std": [0.1, 0.2, 0.3]},
    {"probe": True},
]


@pytest.mark.parametrize(("settings", "what"), WRONG, ids=str)
def test_what_cannot_be_meant_together_is_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(SettingsError, match=what) as refusal:
        RunSpec.from_flags(LEAST | settings)
    assert refusal.value.what.startswith("the command line: ")
    assert refusal.value.why and refusal.value.fix


@pytest.mark.parametrize("settings", RIGHT, ids=str)
def test_what_goes_together_is_not(settings: dict[str, Any]) -> None:
    spec = RunSpec.from_flags(LEAST | settings)
    assert spec.replace({}) == spec


def test_a_probe_needs_a_source() -> None:
    with pytest.raises(SettingsError, match="`probe` needs a source"):
        RunSpec.from_flags({"model.name": "m", "data.path": "d", "probe": True})

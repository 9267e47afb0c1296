"""Runs that train nothing: a linear probe, and what else `train.epochs = 0` leaves."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tether import RunSpec, fit, resume
from tether.engine.audit_run import audit_run
from tether.engine.build import build
from tether.engine.measure import measure
from tether.engine.predict import predict
from tether.engine.preview import preview
from tether.engine.trained import Trained
from tether.files import MANIFEST, verify_manifest
from tether.record import RunRecord

PROBE = {"source.head": "probe", "plan.preset": "frozen", "train.epochs": 0}
Tuned = Callable[..., RunSpec]


@pytest.fixture
def probed(tuned: Tuned, stripes: Any) -> RunSpec:
    return tuned(PROBE | {"data.path": str(stripes("defgh", 20)), "data.per_class": 10, "data.validation": 0.3})


def test_a_linear_probe_is_a_whole_run_folder(probed: RunSpec, tmp_path: Path) -> None:
    record = fit(probed, tmp_path / "run")
    verify_manifest(tmp_path / "run")
    outcome, built = record.outcome, build(probed)
    assert (outcome["steps"], outcome["epochs"], outcome["epoch_taken"]) == (0, 0, 0)
    assert outcome["chosen_on"] == "nothing: no step was made"
    assert outcome["validation"]["count"] == 15
    assert outcome["test"]["count"] == 50
    assert outcome["test"]["accuracy"] > 0.5
    assert outcome["probe"]["chosen_by"] == "leave-one-out and validation"
    assert list(record.metrics) == []
    kept = Trained.load(tmp_path / "run").model.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in built.model.state_dict().items())
    text = (tmp_path / "run/README.md").read_text()
    assert "A linear probe, made by Tether" in text
    assert "| training | none |" in text
    assert "chosen by leave-one-out and validation |" in text


def test_its_scores_are_those_of_the_probe(probed: RunSpec, tmp_path: Path) -> None:
    outcome = fit(probed.replace({"probe": True}), tmp_path / "run").outcome
    for name in ("accuracy", "nll", "brier", "count"):
        assert outcome["probe"][name] == pytest.approx(outcome["test"][name], rel=1e-4)


def test_what_comes_after_behaves(probed: RunSpec, tmp_path: Path, stripes: Any) -> None:
    record = fit(probed, tmp_path / "run")
    assert measure(tmp_path / "run").accuracy == record.outcome["test"]["accuracy"]
    assert len(list(predict(tmp_path / "run", [stripes("defgh", 20) / "d"]))) == 20
    found = audit_run(tmp_path / "run")
    assert found.passed
    rows = {row.check: row for row in found.rows}
    assert rows["as built"].measured == "0 moved"
    assert rows["acted"].measured == "0"
    assert rows["pull delivered"].note == "the run makes no step, and so nothing pulls"
    assert "no pull was measured" in str(found)
    shown = preview(probed)
    assert shown.seconds == 0
    assert shown.pulls == ("no step is made: the model ends as it starts, and nothing pulls",)


def test_an_audit_sees_weights_that_no_probe_gave(probed: RunSpec, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    fit(probed, tmp_path / "run")
    (tmp_path / "run" / MANIFEST).unlink()
    path = tmp_path / "run/model.safetensors"
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    save_file(load_file(path) | {"head.bias": torch.zeros(5)}, path, metadata=about)
    (failed,) = audit_run(tmp_path / "run").failed
    assert failed.check == "as built"
    assert "head.bias" in failed.note


@pytest.mark.parametrize("batchnorm", ["source", "update"])
def test_nothing_at_all_may_be_left_to_train(
    settings: Any, resnet_run: Path, stripes: Any, tmp_path: Path, batchnorm: str
) -> None:
    """The head is transferred with its rows, frozen, and starts at the probe; the audit takes it for what it is."""
    changes = {"model.name": "cifar-resnet20", "source.path": str(resnet_run), "batchnorm": batchnorm}
    spec = RunSpec.from_flags(settings(changes | PROBE))
    record = fit(spec, tmp_path / "run")
    assert record.outcome["steps"] == 0
    assert record.outcome["displacement"] > 0
    assert audit_run(tmp_path / "run").passed


def test_a_run_without_a_source_or_a_probe_ends_as_it_starts(settings: Any, tuned: Tuned, tmp_path: Path) -> None:
    for name, spec in {
        "scratch": RunSpec.from_flags(settings({"train.epochs": 0})),
        "zero": tuned({"train.epochs": 0, "optimizer.name": "sgd"}),
    }.items():
        record = fit(spec, tmp_path / name)
        assert record.outcome["validation"] is None
        assert "Made without training" in (tmp_path / name / "README.md").read_text()
        assert audit_run(tmp_path / name).passed


def test_it_goes_on_where_it_was_cut_with_the_weights_that_are_saved(
    probed: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(probed, tmp_path / "whole")

    def cut(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tether.engine.keep.Keeper.close", cut)
        fit(probed, tmp_path / "cut")
    monkeypatch.setattr("tether.engine.build.start_at_probe", lambda *_, **__: pytest.fail("fitted again"))
    record = resume(tmp_path / "cut")
    assert (tmp_path / "cut/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    for name in ("test", "validation", "probe", "epoch_taken", "steps"):
        assert record.outcome[name] == whole.outcome[name]


def test_probe_then_fine_tuning_starts_at_the_probe_and_is_held_to_the_source(tuned: Tuned, tmp_path: Path) -> None:
    spec = tuned({"source.head": "probe", "plan.preset": "none", "train.epochs": 6})
    record = fit(spec, tmp_path / "run")
    start, end = build(spec).model.state_dict(), Trained.load(tmp_path / "run").model.state_dict()
    assert all(not torch.equal(start[name], end[name]) for name in ("head.weight", "conv1.weight"))
    assert record.outcome["probe"]["chosen_by"] == "leave-one-out"
    zero = fit(spec.replace({"source.head": "zero"}), tmp_path / "zero")
    assert record.metrics[0]["train_accuracy"] > zero.metrics[0]["train_accuracy"]
    assert RunRecord.read(tmp_path / "run").outcome["probe"]["strength"] == record.outcome["probe"]["strength"]
    held = tuned({"source.head": "probe", "plan.preset": None, "plan.transferred": "L2(1)", "plan.new": "L2(1)"})
    part = next(part for part in build(held).leash.parts if part.name == "head.weight")
    assert torch.equal(part.displacement(), build(held).model.get_submodule("head").weight)

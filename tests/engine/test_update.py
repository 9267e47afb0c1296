"""One step: on a batch whole or in parts, never with what is not finite."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from faults.net import Exploding, Greedy
from tether import RunSpec, fit, resume
from tether.engine.build import build
from tether.engine.loop import train
from tether.engine.optimise import make_optimizer
from tether.engine.training import Training
from tether.errors import Diverged, MachineError, SettingsError

Settings = Callable[..., dict[str, Any]]


def trained(spec: RunSpec) -> Training:
    job = build(spec)
    training = Training(job, make_optimizer(job.spec.optimizer, job.model))
    train(training, lambda row: None, quiet=True)
    return training


@pytest.fixture
def greedy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RunSpec:
    monkeypatch.setattr(Greedy, "most", 4)
    changes = {"model.name": "faults.net:Greedy", "train.batch_size": 15, "data.per_class": 5, "train.epochs": 6}
    return RunSpec.from_flags(settings(changes | {"plan.new": "L2(0.1)", "plan.via": "gradient"}))


def test_memory_that_runs_out_is_told_with_what_makes_it_enough(greedy: RunSpec, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"out of memory at step 1: Tried to allocate for 15 pictures") as refusal:
        fit(greedy, tmp_path / "run")
    assert refusal.value.exit_code == 3
    assert "--batch-size 7 or --auto-batch" in refusal.value.fix
    assert (tmp_path / "run/checkpoints/000000/manifest.json").exists()


def test_an_error_that_is_none_of_memory_is_not_taken_for_one(greedy: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Greedy, pictures: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise RuntimeError("shapes differ")
        return self.head(pictures.flatten(1))

    monkeypatch.setattr(Greedy, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        trained(greedy.replace({"train.auto_batch": True}))


def test_a_batch_in_parts_moves_the_weights_as_a_whole_one(
    greedy: RunSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """15 pictures, then 7, then 3 at once: parts of 3 fit, and the last one of a batch may be smaller."""
    parted = trained(greedy.replace({"train.auto_batch": True}))
    assert parted.micro == 3
    monkeypatch.setattr(Greedy, "most", 99)
    whole = trained(greedy)
    assert whole.micro is None
    for name, value in whole.job.model.state_dict().items():
        assert torch.allclose(parted.job.model.state_dict()[name], value, atol=2e-7, rtol=1e-5)
    for one, other in zip(parted.rows, whole.rows, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    monkeypatch.setattr(Greedy, "most", 4)
    assert fit(greedy.replace({"train.auto_batch": True}), tmp_path / "run").outcome["micro_batch"] == 3


def test_the_size_of_the_parts_is_kept_when_a_run_goes_on(
    greedy: RunSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = greedy.replace({"train.auto_batch": True, "checkpoint.every": 1})
    fit(spec, tmp_path / "whole")
    fit(spec, tmp_path / "cut")
    (tmp_path / "cut/manifest.json").unlink()
    monkeypatch.setattr(Greedy, "most", 99)
    resume(tmp_path / "cut", trust_code=True)
    name = "model.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model.args": {"norm": True}}, "`norm` takes its statistics over the batch"),
        (
            {"model.name": "digits-cnn", "train.loss": "Classify() + 0.001 * BSS()"},
            "the term `bss` looks at the batch as one",
        ),
    ],
)
def test_what_does_not_add_up_is_not_parted(
    greedy: RunSpec, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(SettingsError, match=what) as refusal:
        fit(greedy.replace({"train.auto_batch": True, **changes}), tmp_path / "run")
    assert refusal.value.why
    assert not (tmp_path / "run").exists()


def test_frozen_statistics_do_not_hinder(settings: Settings, resnet_run: Path, tmp_path: Path) -> None:
    changes = {"model.name": "cifar-resnet20", "source.path": str(resnet_run), "train.auto_batch": True}
    fit(RunSpec.from_flags(settings(changes | {"train.epochs": 1})), tmp_path / "run")
    with pytest.raises(SettingsError, match="takes its statistics over the batch"):
        fit(RunSpec.from_flags(settings(changes | {"batchnorm": "update"})), tmp_path / "other")


@pytest.fixture
def exploding(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RunSpec:
    monkeypatch.setattr(Exploding, "calls", 0)
    changes = {"model.name": "faults.net:Exploding", "train.batch_size": 6, "train.epochs": 4}
    return RunSpec.from_flags(settings(changes))


@pytest.mark.parametrize(
    ("where", "what"),
    [("loss", r"the loss is not finite at step 5, in epoch 2"), ("gradient", r"the gradient is not finite at step 5")],
)
def test_what_is_not_finite_stops_before_the_update(
    exploding: RunSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, what: str
) -> None:
    monkeypatch.setattr(Exploding, "where", where)
    with pytest.raises(Diverged, match=what) as refusal:
        fit(exploding, tmp_path / "run")
    job = build(exploding)
    names = [job.task.pictures.names[index] for index in job.task.chosen(1)[1]]
    assert f"the batch is `{names[0]}`, `{names[1]}`, `{names[2]}` and 3 more" in refusal.value.why
    assert refusal.value.exit_code == 4
    if where == "gradient":
        assert "first of `body.0.weight`" in refusal.value.what


def test_the_state_before_a_step_that_diverged_is_kept(
    settings: Settings, source_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tether.engine import update

    changes = {"source.path": str(source_run), "train.epochs": 4, "checkpoint.keep": 9}
    spec = RunSpec.from_flags(settings(changes))
    fit(spec.replace({"checkpoint.every": 1, "checkpoint.keep": 99}), tmp_path / "whole")
    real, made = update.backward, []

    def backward(training: Training, *rest: Any) -> Any:
        parts = real(training, *rest)
        made.append(1)
        if len(made) == 6:
            next(iter(training.job.model.parameters())).grad.fill_(float("inf"))
        return parts

    monkeypatch.setattr(update, "backward", backward)
    with pytest.raises(Diverged, match="at step 6"):
        fit(spec, tmp_path / "run")
    kept = tmp_path / "run/checkpoints/000005/model.safetensors"
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == ["000000", "000005"]
    whole = tmp_path / "whole/checkpoints/000005/model.safetensors"
    from safetensors.torch import load_file

    assert all(torch.equal(load_file(kept)[name], value) for name, value in load_file(whole).items())
    monkeypatch.setattr(update, "backward", real)
    resume(tmp_path / "run")
    name = "model.safetensors"
    one, other = load_file(tmp_path / "run" / name), load_file(tmp_path / "whole" / name)
    assert all(torch.equal(one[name], value) for name, value in other.items())

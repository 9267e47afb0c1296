"""What a batch adds up to in `fit`: terms of a spec, with the source model as their teacher."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from tether import RunSpec, fit
from tether.engine.build import build
from tether.engine.loop import train
from tether.engine.optimise import make_optimizer, make_schedule
from tether.engine.source import source_model
from tether.engine.training import Training
from tether.errors import PlanError, SettingsError, TetherError
from tether.terms.distill import divergence

Settings = Callable[..., dict[str, Any]]


def spec_of(settings: Settings, source_run: Path, loss: str, **changes: Any) -> RunSpec:
    given = {"source.path": str(source_run), "plan.preset": "none", "train.loss": loss}
    return RunSpec.from_flags(settings(given | changes))


def test_distilling_is_a_hand_written_loop_bit_for_bit(settings: Settings, stripes: Any, source_run: Path) -> None:
    changes = {"data.path": str(stripes("efg")), "optimizer.lr": 1e-3}
    spec = spec_of(settings, source_run, "Classify() + 0.5 * LogitDistill(temperature=3.0)", **changes)
    job = build(spec)
    train(Training(job, make_optimizer(job.spec.optimizer, job.model)), lambda row: None, quiet=True)
    found = job.model.state_dict()

    twin = build(spec)
    teacher = source_model(twin.spec, twin.source).eval()
    optimizer = make_optimizer(twin.spec.optimizer, twin.model)
    schedule = make_schedule(twin.spec.optimizer, optimizer, twin.steps)
    seen: list[torch.Tensor] = []
    twin.model.head.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    for epoch in range(twin.epochs):
        twin.train_mode()
        for pictures, labels in twin.task.batches(epoch):
            loss = cross_entropy(twin.model(pictures), labels)
            with torch.no_grad():
                told = teacher(pictures)
            (loss + 0.5 * divergence(teacher.head(seen.pop()), told, 3.0)).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    for name, value in twin.model.state_dict().items():
        assert torch.equal(found[name], value)


def test_the_shares_of_the_terms_are_logged_and_more_is_kept(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = {"data.path": str(stripes("efg")), "source.data": str(stripes()), "optimizer.lr": 3e-3}
    changes |= {"train.epochs": 10}
    plain = fit(spec_of(settings, source_run, "Classify()", **changes), tmp_path / "plain")
    held = fit(spec_of(settings, source_run, "Classify() + 20 * LogitDistill()", **changes), tmp_path / "held")
    assert not any(name.startswith("terms/") for name in plain.metrics[-1])
    row = held.metrics[-1]
    assert row["terms/classify"] + row["terms/logit_distill"] == pytest.approx(row["loss"], rel=1e-5)
    assert held.outcome["retention"]["kept"] > plain.outcome["retention"]["kept"]
    assert held.spec.train.loss == "Classify() + 20 * LogitDistill()"


@pytest.mark.parametrize("loss", ["Classify() + 0.001 * BSS(k=3)", 'Classify() + 0.1 * Delta(layers=["conv2"])'])
def test_other_terms_train_too_beside_a_penalty(
    settings: Settings, source_run: Path, tmp_path: Path, loss: str
) -> None:
    record = fit(spec_of(settings, source_run, loss, **{"plan.preset": "l2_sp"}), tmp_path / "run")
    assert record.outcome["steps_acted"] == record.outcome["steps"] > 0
    assert sum(name.startswith("terms/") for name in record.metrics[-1]) == 2


@pytest.mark.parametrize(
    ("loss", "error", "said"),
    [
        ("0.5 * BSS()", SettingsError, "learns no class"),
        ("Classify() + LogitDistil()", SettingsError, "did you mean `LogitDistill`"),
        ("Classify() - BSS()", PlanError, "is no objective"),
        ('Classify() + Delta(layers=["conv9"])', TetherError, "conv9"),
        ("Classify(smoothing=1)", PlanError, "smoothing"),
    ],
)
def test_what_is_no_objective_is_refused_before_anything_is_written(
    settings: Settings, source_run: Path, tmp_path: Path, loss: str, error: Any, said: str
) -> None:
    with pytest.raises(error) as refused:
        fit(spec_of(settings, source_run, loss), tmp_path / "run")
    assert said in str(refused.value)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_without_a_source_there_is_no_teacher(settings: Settings, tmp_path: Path) -> None:
    flags = settings({"train.loss": "Classify() + LogitDistill()"})
    with pytest.raises(SettingsError, match="needs a source as its teacher"):
        fit(RunSpec.from_flags(flags), tmp_path / "run")

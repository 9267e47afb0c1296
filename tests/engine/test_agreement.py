from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tether import RunSpec, fit
from tether.data.images import Images, normalise
from tether.data.loading import load
from tether.engine.agreement import Agreement, Compared
from tether.engine.build import build
from tether.engine.evaluate import logits_of
from tether.engine.whole import WholeSource
from tether.models.build import build as build_model
from tether.models.build import classifier_name
from tether.spec import ModelSpec

Settings = Callable[..., dict[str, Any]]


def by_hand(source: dict[str, Any], tuned: dict[str, Any], model: str, batch: torch.Tensor) -> dict[str, float]:
    """The three figures from two networks built one after the other, in NumPy."""
    outputs, features = [], []
    for state in (source, tuned):
        network = build_model(ModelSpec(name=model), 3, 1)
        network.load_state_dict(state)
        seen: list[torch.Tensor] = []
        network.get_submodule(classifier_name(network)).register_forward_pre_hook(lambda _, x, s=seen: s.append(x[0]))
        with torch.no_grad():
            outputs.append(network.eval()(batch).double().numpy())
        features.append(seen[0].double().numpy())
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in outputs)
    size = np.linalg.norm(features[0], axis=1)
    return {
        "agreement": float((outputs[0].argmax(1) == outputs[1].argmax(1)).mean()),
        "kl": float((p * np.log(p / q)).sum(1).mean()),
        "features": float((np.linalg.norm(features[1] - features[0], axis=1) / size)[size > 0].mean()),
    }


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("model", ["digits-cnn", "cifar-resnet20"])
def test_it_compares_the_source_with_its_head_on_the_tuned_body(
    settings: Settings, stripes: Any, request: pytest.FixtureRequest, tmp_path: Path, model: str, part: str
) -> None:
    origin = request.getfixturevalue("source_run" if model == "digits-cnn" else "resnet_run")
    changes = settings({"model.name": model, "source.path": str(origin), "data.path": str(stripes("efgh"))})
    changes |= {
        "optimizer.lr": 0.003,
        "train.epochs": 4,
        "source.unlabelled": str(stripes("xyz")),
        "batchnorm": "update",
    }
    if part == "validation":
        del changes["data.per_class"]
        changes |= {"data.test": 0.0, "data.validation": 0.4}
    spec = RunSpec.from_flags(changes)
    record = fit(spec, tmp_path / "run")
    found, prepared = record.outcome["agreement"], record.spec.preprocessing
    job = build(record.spec)
    source, tuned = load_file(origin / "model.safetensors"), load_file(tmp_path / "run/model.safetensors")
    head = classifier_name(job.model)
    whole = {name: source[name] if name.startswith(head) else tuned[name] for name in source}
    unlabelled = load(str(stripes("xyz")))
    for name, pictures, chosen in (
        ("target", job.task.pictures, getattr(job.task.split, part)),
        ("unlabelled", unlabelled, np.arange(30)),
    ):
        batch = normalise(Images(pictures, chosen, prepared).batch(chosen), prepared.mean, prepared.std)
        expected = by_hand(source, whole, model, batch)
        assert {key: found[name][key] for key in expected} == pytest.approx(expected, rel=1e-4)
        assert (found[name]["count"], found[name]["part"]) == (len(chosen), part if name == "target" else "unlabelled")
        assert found[name]["kl"] > 0.001
    assert "agreement_absent" not in record.outcome


def test_nothing_moved_is_full_agreement(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    changes = {"source.path": str(source_run), "source.exclude": ["head.*"], "plan.preset": "frozen"}
    found = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run").outcome["agreement"]
    assert found == {
        "target": {"part": "test", "count": 12, "agreement": 1.0, "kl": 0.0, "features": 0.0},
        "unlabelled": None,
    }


class Scaled(nn.Module):
    """A network whose head is not its last step."""

    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(144, 5), nn.Linear(5, num_classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return 3 * self.head(self.body(pictures.flatten(1)).tanh())


def test_a_head_that_is_not_the_last_step_is_passed_with_the_rest(settings: Settings, tmp_path: Path) -> None:
    named = {"model.name": "engine.test_agreement:Scaled"}
    fit(RunSpec.from_flags(settings(named)), tmp_path / "source")
    changes = named | {"source.path": str(tmp_path / "source"), "optimizer.lr": 0.05}
    job = build(RunSpec.from_flags(settings(changes)))
    source = WholeSource(job)
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    with torch.no_grad():
        job.model.get_parameter("body.weight").add_(torch.randn(5, 144) / 5)
        job.model.get_parameter("head.weight").zero_()
    with Agreement(source).beside(job.model) as found:
        logits_of(job.model, job.task.still("test"))
    tuned = Scaled(3)
    tuned.load_state_dict({name: before[name] if "head" in name else p for name, p in job.model.state_dict().items()})
    (batch, _), *_ = job.task.still("test")
    with torch.no_grad():
        p, q = (model(batch).double().log_softmax(1) for model in (source.model, tuned))
    assert found.to_json()["kl"] == pytest.approx(float((p.exp() * (p - q)).sum(1).mean()))
    assert found.to_json()["kl"] > 0.01
    for name, value in source.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_no_hook_is_left_behind(settings: Settings, source_run: Path) -> None:
    job = build(RunSpec.from_flags(settings({"source.path": str(source_run)})))
    source = WholeSource(job)
    with pytest.raises(ZeroDivisionError), Agreement(source).beside(job.model):
        raise ZeroDivisionError
    for model in (job.model, source.model):
        assert not any(module._forward_hooks for module in model.modules())


def test_outputs_that_are_not_finite_agree_on_nothing() -> None:
    found = Compared()
    found.add(torch.tensor([[1.0, 2.0], [float("inf"), 0.0]]), torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    assert (found.count, found.odd, found.to_json()) == (2, 1, None)


def test_features_that_are_all_zero_have_no_relative_displacement() -> None:
    found = Compared()
    found.add(torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2))
    found.add_features(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[1.0, 1.0], [3.0, 5.0]]))
    assert found.to_json()["features"] == pytest.approx(1 / 5)
    assert found.to_json()["agreement"] == 0
    assert found.to_json()["kl"] == pytest.approx((np.e - 1) / (np.e + 1))  # Σ p (log p − log q), by hand
    empty = Compared()
    empty.add(torch.zeros(1, 2), torch.zeros(1, 2))
    empty.add_features(torch.zeros(1, 2), torch.ones(1, 2))
    assert empty.to_json()["features"] is None

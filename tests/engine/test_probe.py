from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tether import RunSpec, fit
from tether.engine.build import Job, build
from tether.engine.probe import STRENGTHS, UNCHOSEN, features_of, probe

Settings = Callable[..., dict[str, Any]]


def job_on(settings: Settings, source: Path, data: Path, **changes: Any) -> Job:
    return build(RunSpec.from_flags(settings({"source.path": str(source), "data.path": str(data), **changes})))


def part(job: Job, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What goes into the head of the digits net, worked out layer by layer from the outside."""
    batches = list(job.task.still(name))
    seen, body = [], job.model.eval()
    handle = body.get_submodule("embed").register_forward_hook(lambda _, __, output: seen.append(output.relu()))
    with torch.no_grad():
        for pictures, _ in batches:
            body(pictures)
    handle.remove()
    return torch.cat(seen).numpy(), np.concatenate([labels.numpy() for _, labels in batches])


def by_hand(job: Job, c: float, name: str) -> float:
    features, labels = part(job, "train")
    centre, spread = features.mean(0), features.std(0)
    spread[spread == 0] = 1
    model = LogisticRegression(C=c, max_iter=2000).fit((features - centre) / spread, labels)
    held, truth = part(job, name)
    return float((model.predict((held - centre) / spread) == truth).mean())


def test_the_probe_is_scikit_learns_logistic_regression(settings: Settings, stripes: Any, source_run: Path) -> None:
    job = job_on(settings, source_run, stripes("defgh", 20))
    found = probe(job.model, job.task)
    assert found["accuracy"] == pytest.approx(by_hand(job, UNCHOSEN, "test"))
    assert (found["C"], found["chosen_on_validation"], found["count"]) == (UNCHOSEN, False, 70)


def test_its_strength_is_chosen_on_validation_alone(settings: Settings, stripes: Any, source_run: Path) -> None:
    job = job_on(settings, source_run, stripes("defgh", 20), **{"data.validation": 0.5})
    found = probe(job.model, job.task)
    scores = [by_hand(job, c, "validation") for c in STRENGTHS]
    assert found["C"] == STRENGTHS[int(np.argmax(scores))]
    assert found["accuracy"] == pytest.approx(by_hand(job, found["C"], "test"))


def test_two_classes_are_no_special_case(settings: Settings, stripes: Any, source_run: Path) -> None:
    job = job_on(settings, source_run, stripes("de"))
    assert probe(job.model, job.task)["accuracy"] == pytest.approx(by_hand(job, UNCHOSEN, "test"))


def test_probing_changes_neither_weights_nor_modes(settings: Settings, stripes: Any, resnet_run: Path) -> None:
    job = job_on(settings, resnet_run, stripes("efg"), **{"model.name": "cifar-resnet20", "batchnorm": "update"})
    job.train_mode()
    job.model.get_submodule("bn1").eval()
    modes = [module.training for module in job.model.modules()]
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    probe(job.model, job.task)
    assert [module.training for module in job.model.modules()] == modes
    assert any(modes)
    assert not all(modes)
    assert all(torch.equal(value, before[name]) for name, value in job.model.state_dict().items())


def test_features_are_what_the_head_sees(settings: Settings, stripes: Any, source_run: Path) -> None:
    job = job_on(settings, source_run, stripes())
    features, labels = features_of(job.model, job.task.still("train"))
    expected, truth = part(job, "train")
    np.testing.assert_array_equal(features, expected)
    np.testing.assert_array_equal(labels, truth)


def test_a_probe_beside_a_fit_changes_nothing_else(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    spec = RunSpec.from_flags(settings({"source.path": str(source_run), "source.exclude": ["head.*"]}))
    fit(spec, tmp_path / "without")
    record = fit(spec.replace({"probe": True}), tmp_path / "with")
    assert (tmp_path / "with/metrics.jsonl").read_bytes() == (tmp_path / "without/metrics.jsonl").read_bytes()
    assert record.outcome["probe"]["accuracy"] > 0.5
    assert "linear probe on the source's features" in (tmp_path / "with/README.md").read_text()

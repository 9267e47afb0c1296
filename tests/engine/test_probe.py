from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tether import RunSpec, fit
from tether.engine.build import Job, build
from tether.engine.preview import preview
from tether.engine.probe import BLOCK, features_of, frozen_features, probe
from tether.errors import SettingsError
from tether.models.build import MODELS
from tether.models.digits_cnn import DigitsCNN
from tether.record import RunRecord
from tether.shelf import shelf
from tether.strength.probe import LinearProbe

Settings = Callable[..., dict[str, Any]]
PROBE = {"source.head": "probe", "plan.preset": "frozen", "train.epochs": 0}


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


@pytest.mark.parametrize("validation", [0.0, 0.5])
def test_the_probe_is_fitted_to_what_the_head_sees(
    settings: Settings, stripes: Any, source_run: Path, validation: float
) -> None:
    job = job_on(settings, source_run, stripes("defgh", 20), **{"data.validation": validation})
    found = probe(job.model, job.task)
    held = part(job, "validation") if validation else None
    expected = LinearProbe.of(part(job, "train"), 5, validation=held)
    features, truth = part(job, "test")
    assert found["accuracy"] == (expected.outputs(features).argmax(1) == truth).mean()
    assert found["strength"] == pytest.approx(expected.strength, rel=1e-4)
    assert found["count"] == len(truth) == 70
    assert found["chosen_by"] == ("leave-one-out and validation" if validation else "leave-one-out")
    assert len(found["path"]) == 49


def test_two_classes_are_no_special_case(settings: Settings, stripes: Any, source_run: Path) -> None:
    job = job_on(settings, source_run, stripes("de"))
    features, truth = part(job, "test")
    expected = LinearProbe.of(part(job, "train"), 2).outputs(features)
    assert probe(job.model, job.task)["accuracy"] == (expected.argmax(1) == truth).mean()


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


@pytest.mark.parametrize("source", ["source_run", "resnet_run"])
def test_a_shelf_changes_no_bit_and_features_are_made_once(
    settings: Settings, source: str, stripes: Any, tmp_path: Path, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = request.getfixturevalue(source)
    name = RunRecord.read(run).spec.model.name
    changes = {
        "model.name": name,
        "source.exclude": ["head.*" if name == "digits-cnn" else "linear.*"],
        "source.head": "random",
    }
    job = job_on(settings, run, stripes("defgh", 20), **changes)
    chosen = np.array([3, 77, 20, 21, 99])
    alone = frozen_features(job.model, job.task.pictures, chosen, job.spec)
    assert alone.shape == (5, 64)
    with shelf(tmp_path):
        kept = frozen_features(job.model, job.task.pictures, chosen, job.spec)
    np.testing.assert_array_equal(kept, alone)
    expected = [probe(job_on(settings, run, stripes("defgh", 20), **changes, seed=s).model, job.task) for s in (0, 1)]
    monkeypatch.setattr("tether.engine.probe._in_blocks", lambda *_: pytest.fail("computed again"))
    with shelf(tmp_path):
        for seed in (0, 1):  # another head, and the same body
            other = job_on(settings, run, stripes("defgh", 20), **changes, seed=seed)
            assert probe(other.model, job.task) == expected[seed]
        with torch.no_grad(), pytest.raises(pytest.fail.Exception):
            next(other.model.parameters())[0, 0, 0, 0] += 1e-6
            probe(other.model, job.task)


def test_the_end_of_the_data_is_in_a_smaller_block(settings: Settings, stripes: Any, source_run: Path) -> None:
    job = job_on(settings, source_run, stripes("defgh", 20))
    count = len(job.task.pictures)
    assert count % BLOCK
    last = frozen_features(job.model, job.task.pictures, np.array([count - 1, 0]), job.spec)
    every = frozen_features(job.model, job.task.pictures, np.arange(count), job.spec)
    np.testing.assert_array_equal(last, every[[count - 1, 0]])


def test_a_head_may_start_at_the_probe(tuned: Callable[..., RunSpec]) -> None:
    job = build(tuned({"source.head": "probe"}))
    bare = build(tuned({"source.head": "probe"}), started=False)
    assert bare.probed is None
    expected = LinearProbe.of(part(bare, "train"), 3)
    np.testing.assert_allclose(job.model.get_submodule("head").weight.detach(), expected.weight, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(job.model.get_submodule("head").bias.detach(), expected.bias, rtol=1e-3, atol=1e-5)
    assert job.probed is not None
    assert job.probed["strength"] == pytest.approx(expected.strength)
    assert "accuracy" not in job.probed  # the test pictures are not looked at
    body = {name: value for name, value in bare.model.state_dict().items() if not name.startswith("head")}
    assert all(torch.equal(job.model.state_dict()[name], value) for name, value in body.items())


def test_transferred_rows_start_there_too_and_are_still_held_to_the_source(
    settings: Settings, stripes: Any, source_run: Path
) -> None:
    whole = job_on(settings, source_run, stripes("abcd"), **{"source.head": "probe"})
    source = build(RunRecord.read(source_run).spec).model  # for its shapes
    kept = whole.leash.anchor.references["head.weight"]
    mask = whole.leash.anchor.new["head.weight"]
    assert mask is not None
    assert mask.tolist() == [False, False, False, True]
    from tether.engine.trained import Trained

    theirs = Trained.load(source_run).model.get_submodule("head").weight
    assert torch.equal(kept[:3], theirs)
    assert source.get_submodule("head").weight.shape == (3, 64)
    expected = LinearProbe.of(part(whole, "train"), 4)
    np.testing.assert_allclose(whole.model.get_submodule("head").weight.detach(), expected.weight, rtol=1e-3, atol=1e-5)


class Biasless(DigitsCNN):
    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__(num_classes, in_channels)
        self.head = nn.Linear(64, num_classes, bias=False)


class Scaled(DigitsCNN):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(pictures)


class Deep(DigitsCNN):
    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__(num_classes, in_channels)
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(64, num_classes))  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("network", "said"),
    [(Biasless, "without a bias"), (Scaled, "its outputs are not those of its head"), (Deep, "is a Sequential")],
)
def test_another_kind_of_head_is_refused_before_anything_is_written(
    tuned: Callable[..., RunSpec], network: type[nn.Module], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tether.models.build import maker

    maker("digits-cnn")
    monkeypatch.setitem(MODELS._things, "digits-cnn", network)  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match=said):
        fit(tuned({"source.head": "probe", "source.coverage": 0.1}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(SettingsError, match=said):
        preview(tuned({"source.head": "probe", "source.coverage": 0.1}))
    assert probe(build(tuned({"source.coverage": 0.1})).model, build(tuned()).task)["accuracy"] > 0.3


def test_a_shelf_changes_no_bit_of_a_run(tuned: Callable[..., RunSpec], tmp_path: Path) -> None:
    specs = {
        "lp-ft": tuned({"source.head": "probe", "probe": True, "data.augment": "photo", "data.validation": 0.3}),
        "linear-probe": tuned({"source.head": "probe", "train.epochs": 0, "plan.preset": "frozen"}),
    }
    for name, spec in specs.items():
        alone = fit(spec, tmp_path / "alone" / name)
        with shelf(tmp_path / "shelf"):
            kept = fit(spec, tmp_path / "kept" / name)
        for file in ("model.safetensors", "metrics.jsonl", "split.json"):
            assert (tmp_path / "kept" / name / file).read_bytes() == (tmp_path / "alone" / name / file).read_bytes()
        assert kept.outcome["probe"] == alone.outcome["probe"]
    assert len(list((tmp_path / "shelf").glob("*.npy"))) == 3  # pixels, with a margin and without, and features

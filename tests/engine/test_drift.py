import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from tether import RunSpec, fit
from tether.anchor import Anchor
from tether.binding import Tether
from tether.engine.drift import drifts
from tether.penalties.presets import l2_sp

Settings = Callable[..., dict[str, Any]]


class Net(nn.Module):
    """A convolution, a scale without axes, a bias that starts at zero and a head of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.head = nn.Linear(3, 3)
        nn.init.zeros_(self.conv.bias)


def test_each_figure_is_numpys() -> None:
    model = Net()
    source = {name: p.detach().clone() for name, p in model.named_parameters()}
    rows = torch.tensor([False, True, False])
    leash = Tether(model, Anchor(source, {"head.weight": rows, "head.bias": rows}), l2_sp())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    found = {one.name: one for one in drifts(leash)}
    assert list(found) == ["scale", "conv.weight", "conv.bias", "head.weight", "head.bias"]
    for name, one in found.items():
        w, w0 = (tensor.detach().double().numpy() for tensor in (model.get_parameter(name), source[name]))
        w, w0 = (value[~rows.numpy()] if name.startswith("head") else value for value in (w, w0))
        delta = (w.astype(np.float32) - w0.astype(np.float32)).astype(np.float64)
        by_row = np.abs(delta).reshape(len(delta), -1).sum(1) if delta.ndim > 1 else np.abs(delta)
        assert one.values == delta.size
        assert one.norm == pytest.approx(np.sqrt((delta**2).sum()), rel=1e-12)
        assert one.reference == pytest.approx(np.sqrt((w0**2).sum()), rel=1e-12)
        assert one.mars == pytest.approx(np.max(by_row), rel=1e-12)
        assert one.relative == (None if name == "conv.bias" else pytest.approx(one.norm / one.reference))


def test_a_parameter_that_is_new_has_none() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    leash = Tether(model, Anchor.of(model, new="1.*"), l2_sp())
    assert [(one.name, one.norm, one.mars) for one in drifts(leash)] == [("0.weight", 0.0, 0.0), ("0.bias", 0.0, 0.0)]


def test_a_run_leaves_that_of_the_weights_it_leaves(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = {"source.path": str(source_run), "data.path": str(stripes("bcd")), "data.validation": 0.5}
    fit(RunSpec.from_flags(settings(changes | {"optimizer.lr": 0.01, "train.epochs": 6})), tmp_path / "run")
    found = json.loads((tmp_path / "run/drift.json").read_text())["layers"]
    source, tuned = (load_file(run / "model.safetensors") for run in (source_run, tmp_path / "run"))
    # the source knows a, b, c: of the head's rows b, c, d the first two are its last two
    source |= {name: source[name][1:] for name in ("head.weight", "head.bias")}
    tuned |= {name: tuned[name][:2] for name in ("head.weight", "head.bias")}
    assert [row["name"] for row in found] == [name for name, _ in digits().named_parameters()]
    for row in found:
        delta = tuned[row["name"]] - source[row["name"]]
        assert row["norm"] == pytest.approx(np.linalg.norm(delta.ravel().astype(np.float64)), rel=1e-6)
        assert row["norm"] > 0


def digits() -> nn.Module:
    from tether.models.digits_cnn import DigitsCNN

    return DigitsCNN(3)


def test_a_run_from_scratch_has_none(source_run: Path) -> None:
    assert not (source_run / "drift.json").exists()

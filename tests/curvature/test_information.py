from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tether.curvature.information import Fisher
from tether.errors import CheckpointError


@pytest.fixture
def found() -> Fisher:
    values = {"a.weight": torch.tensor([[1.0, 0.0]]), "a.bias": torch.tensor([0.5]), "b.weight": torch.ones(2)}
    return Fisher(values, kind="exact", count=7, floor=0.0, scale=1.0, origin="digits")


def test_it_is_a_mapping(found: Fisher):
    assert list(found) == ["a.weight", "a.bias", "b.weight"]
    assert len(found) == 3
    assert torch.equal(found["a.bias"], torch.tensor([0.5]))


def test_it_is_read_as_it_was_written(found: Fisher, tmp_path: Path):
    found.save(tmp_path / "fisher.safetensors")
    again = Fisher.load(tmp_path / "fisher.safetensors")
    assert all(torch.equal(again[name], value) for name, value in found.items())
    assert (again.kind, again.count, again.floor, again.scale, again.origin) == ("exact", 7, 0.0, 1.0, "digits")


def test_what_is_no_fisher_information_is_refused_by_path(tmp_path: Path):
    save_file({"a": torch.ones(1)}, tmp_path / "weights.safetensors")
    (tmp_path / "text").write_text("no tensors")
    for name in ("weights.safetensors", "text", "absent"):
        with pytest.raises(CheckpointError, match=f"{name}` holds no Fisher information"):
            Fisher.load(tmp_path / name)


def test_its_screen_says_how_it_was_made(found: Fisher):
    screen = str(found)
    assert screen.splitlines()[0] == "fisher: exact, diagonal, mean over 7 digits, no floor"
    assert "a: mean 0.5, median 0.5, largest 1, 33% next to 0" in screen

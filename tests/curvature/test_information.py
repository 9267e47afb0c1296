from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from tether.curvature.fisher import fisher
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


def test_it_is_read_as_it_was_written(tmp_path: Path):
    model = nn.Linear(3, 2, dtype=torch.float64)
    made = fisher(model, [torch.randn(5, 3).double()], kind="sampled", draws=2, floor=0.1, normalise=True)
    made.save(tmp_path / "fisher.safetensors")
    again = Fisher.load(tmp_path / "fisher.safetensors")
    assert list(again) == ["bias", "weight"]  # such a file is sorted by name
    for name, value in made.items():
        assert again[name].dtype == torch.float64
        assert torch.equal(again[name], value)
    about = ("kind", "count", "floor", "scale", "origin", "draws")
    assert all(getattr(again, field) == getattr(made, field) for field in about)


def test_its_description_stands_in_the_files_metadata(found: Fisher, tmp_path: Path):
    found.save(tmp_path / "fisher.safetensors")
    with safe_open(tmp_path / "fisher.safetensors", framework="pt") as file:
        assert '"kind": "exact", "count": 7' in file.metadata()["fisher"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("weights", "no `fisher`"),
        ("text", "header"),
        ("absent", "No such file"),
        ("other", "mapping"),
        ("half", "kind"),
    ],
)
def test_what_is_no_fisher_information_is_refused_by_path(tmp_path: Path, name: str, why: str):
    save_file({"a": torch.ones(1)}, tmp_path / "weights")
    save_file({"a": torch.ones(1)}, tmp_path / "other", metadata={"fisher": "3"})
    save_file({"a": torch.ones(1)}, tmp_path / "half", metadata={"fisher": '{"count": 3, "floor": 0, "scale": 1}'})
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(CheckpointError, match=f"{name}` holds no Fisher information") as refused:
        Fisher.load(tmp_path / name)
    assert why.lower() in refused.value.why.lower()


def test_its_screen_says_how_it_was_made(found: Fisher):
    lines = str(found).splitlines()
    assert lines[0] == "fisher: exact, diagonal, mean over 7 digits, no floor"
    assert lines[1] == "whole: mean 0.7, median 1, largest 1, 20% next to 0"
    assert lines[2] == "a: mean 0.5, median 0.5, largest 1, 33% next to 0"
    made = fisher(nn.Linear(3, 2), [torch.randn(5, 3)], kind="sampled", draws=2, floor=0.1, normalise=True)
    said = str(made).splitlines()[0]
    assert said.startswith("fisher: sampled of 2 draws, diagonal, mean over 5 samples, divided by its mean ")
    assert said.endswith(f"{made.scale:.3g}, floor 0.1 added")


def test_its_screen_counts_a_floor_as_zero_and_the_parts_that_are_not_shown():
    values = {f"{n}.weight": torch.tensor([0.1, 0.1, 0.3]) for n in range(15)}
    lines = str(Fisher(values, "exact", 7, floor=0.1, scale=1.0)).splitlines()
    assert lines[1].endswith("67% next to 0")
    assert lines[-1] == "… and 3 more parts"
    assert len(lines) == 15

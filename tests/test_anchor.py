import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tether.anchor import Anchor, file_digest
from tether.errors import CheckpointError, MatchError, NoParameterSelected


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))


def test_the_model_as_it_stands_is_the_source():
    net = model()
    anchor = Anchor.of(net, new=["1.weight", "1.b*"])
    assert list(anchor.references) == ["0.weight", "0.bias"]
    assert anchor.new == {"1.bias": None, "1.weight": None}
    net[0].weight.detach().zero_()
    assert anchor.references["0.weight"].abs().sum() > 0
    assert not anchor.references["0.weight"].requires_grad


def test_buffers_are_no_parameters():
    assert list(Anchor.of(nn.BatchNorm1d(2)).references) == ["weight", "bias"]


def test_it_reads_on_one_line():
    references = {"a": torch.zeros(3, 2), "head": torch.zeros(2)}
    anchor = Anchor(references, {"fresh": None, "head": torch.tensor([True, False])}, mapped=frozenset({"a"}))
    assert str(anchor).split(" · ") == [
        "anchor: 2 parameters with a source value (8 values), 1 mapped from file",
        "1 new, toward zero or free",
        "new rows in 1",
    ]


def test_a_glob_that_matches_nothing_is_refused():
    with pytest.raises(NoParameterSelected, match="new='head"):
        Anchor.of(model(), new="head.*")


def test_a_name_that_is_new_and_has_a_source_is_refused():
    with pytest.raises(MatchError, match="`w` is new and has a source value"):
        Anchor({"w": torch.zeros(2)}, {"w": None})


@pytest.mark.parametrize("references", [{}, {"w": torch.zeros(3, 2)}])
def test_a_row_mask_that_does_not_fit_is_refused(references: dict[str, torch.Tensor]):
    with pytest.raises(MatchError, match="row mask of `w`"):
        Anchor(references, {"w": torch.tensor([True, False])})


def mapped(folder: Path) -> tuple[Anchor, Path]:
    path = folder / "source.safetensors"
    save_file({"w": torch.ones(4)}, path)
    return Anchor(load_file(path), {}, mapped=frozenset({"w"}), files={path: file_digest(path)}), path


def test_a_mapped_file_that_is_unchanged_verifies(tmp_path: Path):
    anchor, _ = mapped(tmp_path)
    anchor.verify()


def test_a_mapped_file_that_has_changed_is_refused(tmp_path: Path):
    anchor, path = mapped(tmp_path)
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.unlink()
    path.write_bytes(changed)
    with pytest.raises(MatchError, match="has changed since") as refusal:
        anchor.verify()
    assert str(path) in refusal.value.what


def test_a_mapped_file_that_is_gone_is_refused(tmp_path: Path):
    anchor, path = mapped(tmp_path)
    path.unlink()
    with pytest.raises(MatchError, match="has changed since"):
        anchor.verify()


def test_copied_has_every_reference_in_memory(tmp_path: Path):
    anchor, path = mapped(tmp_path)
    copied = anchor.copied()
    path.unlink()
    copied.verify()
    assert not copied.mapped
    assert torch.equal(copied.references["w"], torch.ones(4))


@pytest.mark.parametrize(
    "about",
    [
        None,
        {},
        {"new": "{", "norms": "[]"},
        {"new": "[" * 200_000, "norms": "[]"},
        {"new": '{"absent": [0]}', "norms": "[]"},
        {"new": '{"w": 3}', "norms": "[]"},
        {"new": '{"w": [[0]]}', "norms": "[]"},
        {"new": "[]", "norms": "[]"},
    ],
    ids=lambda about: str(about)[:30],
)
def test_a_file_that_is_no_anchor_is_refused(tmp_path: Path, about: dict[str, str] | None) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors", about)
    with pytest.raises(CheckpointError, match="holds no anchor"):
        Anchor.load(tmp_path / "a.safetensors")


def test_a_pipe_is_no_anchor(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is a named pipe"):
        Anchor.load(tmp_path / "pipe")

import json

import torch
from torch import nn

from tether.checkpoint.checkpoint import Checkpoint
from tether.matching.match import match


def net(*, classes=3):
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))


def checkpoint(tensors, **known):
    tensors = tensors.state_dict() if isinstance(tensors, nn.Module) else tensors
    return Checkpoint("weights.pt", tensors, path=None, format="mapping", **known)


def test_one_readable_screen():
    blocks = nn.Sequential(*(nn.Linear(2, 2) for _ in range(6)))
    source = checkpoint({n: t for n, t in blocks.state_dict().items() if n[0] == "0"} | {"old": torch.ones(1)})
    found = match(source, blocks, coverage=0.1)
    assert str(found).splitlines() == [
        "source: weights.pt, paired by name",
        "2 copied: 2 parameters and 0 buffers, 6 of 36 values (16.7%)",
        "new: 1.weight, 1.bias, 2.weight, 2.bias, 3.weight, 3.bias, 4.weight, 4.bias and 2 more "
        "(missing: the source has no tensor for it)",
        "unused in the source: old",
    ]


def test_the_json_has_a_row_for_each_tensor():
    source = checkpoint(net(classes=4), classes=("cow", "dog", "cat", "fox"))
    found = match(source, net(), target_classes=["cat", "dog", "emu"], exclude=["1.bias"])
    tree = json.loads(json.dumps(found.to_json()))
    rows = {row["target"]: row for row in tree["parameters"]}
    assert set(rows) == set(net().state_dict())
    assert rows["2.weight"]["fate"] == "rows" and rows["2.weight"]["rows"] == [[0, 2], [1, 1]]
    assert rows["1.bias"]["fate"] == "new" and rows["1.bias"]["reason"] == "excluded"
    assert tree["coverage"] == found.coverage and tree["by"] == "name"


def test_details_that_differ_are_told_by_the_first():
    found = match(checkpoint(net(classes=7)), net())
    assert "new: 2.weight, 2.bias (shape: `2.weight` is (7, 4) in the source, (3, 4) in the model)" in str(found)


def test_casts_buffers_and_notes_have_a_line():
    tensors = {name: tensor for name, tensor in net().double().state_dict().items() if "running" not in name}
    lines = str(match(checkpoint(tensors), net())).splitlines()
    assert "buffers kept: 1.running_mean, 1.running_var (missing: the source has no tensor for it)" in lines
    assert "cast: 6 from float64 to float32" in lines
    assert lines[-1].startswith("note: weights but not running statistics are copied of 1")

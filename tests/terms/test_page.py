"""The blocks of docs/terms.md run as they stand, and its table of terms is that of the registry."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tether.terms.text import TERMS

PAGE = (Path(__file__).parents[2] / "docs" / "terms.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_block_runs(resnet: Any):
    batches = [(resnet.inputs, resnet.labels)] * 2
    names = {
        "source": resnet.source,
        "model": resnet.student(),
        "loader": batches,
        "batches": batches,
        "probe": nn.Linear(64, 5),
        "print": lambda terms: None,
    }
    assert len(BLOCKS) == 3
    before = resnet.teacher.linear.weight.clone()
    for block in BLOCKS:
        exec(block, names)
        assert names["objective"](names["model"], batches[0]).total.isfinite()
    assert torch.equal(names["teacher"].linear.weight, before)


def test_the_table_has_every_term():
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE)) == set(TERMS)

"""The blocks of docs/hosts.md run as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

PAGE = (Path(__file__).parents[2] / "docs" / "hosts.md").read_text(encoding="utf-8")
SECTIONS = {part.splitlines()[0]: part for part in PAGE.split("\n## ")}
FIRST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
LOOPS = {
    title: code for title, part in SECTIONS.items() for code in re.findall(r"```python\n(.*?)```", part, re.DOTALL)
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.body(x).relu())
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": torch.randn(5), "labels": torch.tensor(index % 3)}


@pytest.mark.parametrize("title", [title for title in LOOPS if title != "# Hosts"])
def test_a_block_runs_and_its_penalty_acts(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"torch": torch, "model": Net(), "data": Data(), "loader": DataLoader(Data(), batch_size=8)}
    exec(FIRST, scope)
    exec(LOOPS[title], scope)
    leash = scope["leash"]
    assert leash.acted_on == "the penalty acted on 2 of 2 steps"


def test_each_host_has_its_block():
    hosts = {"A raw loop", "Lightning Fabric", "Lightning Trainer", "Transformers' Trainer", "Accelerate"}
    assert set(LOOPS) == {"# Hosts", *hosts}

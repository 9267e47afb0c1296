"""L2 acts without a temporary of a parameter's size, whichever way and toward whichever reference."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tether.penalties.base import Penalty
from tether.penalties.l1 import L1
from tether.penalties.l2 import CPU_PIECE, L2

SIZE = 40 * CPU_PIECE
number = pytest.mark.parametrize("number", [float, torch.tensor], ids=["float", "tensor"])
referenced = pytest.mark.parametrize("source", [False, True], ids=["zero", "source"])


class Largest(TorchDispatchMode):
    """The most values of any tensor that was made, views and results in place left out."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        super().__init__()
        self.known = {t.untyped_storage().data_ptr() for t in known}
        self.values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage().data_ptr() not in self.known:
                self.values = max(self.values, leaf.numel())
        return result


def largest(penalty: Penalty, way: str, *, source: bool, factor: Any) -> int:
    weights, grads, sources = ([torch.randn(40, CPU_PIECE)] for _ in range(3))
    references = sources if source else None
    with Largest([*weights, *grads, *sources]) as seen:
        if way == "prox":
            penalty.prox_(weights, references, factor)
        else:
            penalty.add_gradient_(grads, weights, references, factor)
    return seen.values


@number
@referenced
@pytest.mark.parametrize("way", ["prox", "gradient"])
def test_l2_makes_none(way: str, source: bool, number: Any):
    assert largest(L2(0.1), way, source=source, factor=number(0.5)) <= CPU_PIECE


def test_one_that_is_made_would_be_seen():
    assert largest(L1(0.1), "prox", source=True, factor=0.5) == SIZE

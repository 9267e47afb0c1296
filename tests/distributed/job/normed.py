"""BatchNorm in several processes: what is said of it, and by how much it is off."""

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from problem import OPTIMISERS, batches, half, new_head
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel

from tether.binding import Tether
from tether.params.norms import hold_statistics
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan


class Normed(nn.Module):
    def __init__(self, norm: type[nn.Module] = nn.BatchNorm1d, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.norm, self.head = nn.Linear(6, 5), norm(5, **options), nn.Linear(5, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(x)).tanh())


def results(rank: int) -> Iterator[tuple[str, Any]]:
    held = Normed()
    hold_statistics([held.norm])
    yield "training", said(Normed())
    yield "without running statistics", said(Normed(track_running_stats=False).eval())
    yield "in eval", said(Normed().eval())
    yield "held", said(held)
    yield "synchronised", said(Normed(nn.SyncBatchNorm))
    yield "off training", off(Normed, rank)
    yield "off in eval", off(lambda: Normed().eval(), rank)


def said(model: nn.Module) -> dict[str, Any]:
    leash = Tether(model, new_head(model), Plan(L2(0.3), L2(0.1)))
    optimizer = OPTIMISERS["SGD"](model.parameters())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        leash.attach(optimizer)
    return {"warned": [str(warning.message) for warning in caught], "summary": leash.summary()}


def off(make: Any, rank: int) -> float:
    """The largest difference of a gradient from one process's."""
    x, y = next(batches())
    alone, wrapped = make(), DistributedDataParallel(make())
    mse_loss(alone(x), y).backward()
    mse_loss(wrapped(x[half(rank)]), y[half(rank)]).backward()
    pairs = zip(alone.parameters(), wrapped.parameters(), strict=True)
    return max(float((one.grad - other.grad).abs().max()) for one, other in pairs)

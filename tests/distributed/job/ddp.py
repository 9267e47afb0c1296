"""Data parallelism: every process has all parameters, and a share of each batch."""

from collections.abc import Iterator
from typing import Any

from problem import ELEMENTWISE, OF_ROWS, OF_TENSORS, Net, cases, half, in_one_process, new_head, trained
from torch.nn.parallel import DistributedDataParallel

from tether.binding import Tether


def alone() -> Iterator[tuple[str, Any]]:
    for name, plan, make in cases(ELEMENTWISE | OF_ROWS | OF_TENSORS):
        yield name, in_one_process(plan, make)


def results(rank: int) -> Iterator[tuple[str, Any]]:
    for name, plan, make in cases(ELEMENTWISE | OF_ROWS | OF_TENSORS):
        model = Net()
        leash = Tether(model, new_head(model), plan)
        wrapped = DistributedDataParallel(model)
        yield f"tether before/{name}", trained(wrapped, leash, make(wrapped.parameters()), half(rank))

    for name, plan, make in cases({"L2 + L1": ELEMENTWISE["L2 + L1"]}):
        wrapped = DistributedDataParallel(Net())
        leash = Tether(wrapped, new_head(wrapped), plan)
        yield f"tether after/{name}", trained(wrapped, leash, make(wrapped.parameters()), half(rank))

"""Data parallelism, every process with all parameters, and the same in one process with the whole batches."""

from collections.abc import Iterator
from typing import Any

from problem import ELEMENTWISE, OF_ROWS, OF_TENSORS, Net, cases, half, in_one_process, new_head, trained
from torch.nn.parallel import DistributedDataParallel

from tether.binding import Tether


def results(rank: int) -> Iterator[tuple[str, Any]]:
    for name, plan, make in cases(ELEMENTWISE | OF_ROWS | OF_TENSORS):
        yield f"one process/{name}", in_one_process(plan, make)

        model = Net()
        leash = Tether(model, new_head(model), plan)
        wrapped = DistributedDataParallel(model)
        yield f"tether before/{name}", trained(wrapped, leash, make(wrapped.parameters()), half(rank))

    for name, plan, make in cases({"L2 + L1": ELEMENTWISE["L2 + L1"]}):
        wrapped = DistributedDataParallel(Net())
        leash = Tether(wrapped, new_head(wrapped), plan)
        yield f"tether after/{name}", trained(wrapped, leash, make(wrapped.parameters()), half(rank))

"""`fully_shard`, every process with a part of each parameter; what a step sends is counted."""

from collections.abc import Callable, Iterator
from typing import Any

from problem import ELEMENTWISE, OF_ROWS, cases, half, sharded_net, trained
from torch.distributed.tensor.debug import CommDebugMode


def results(rank: int) -> Iterator[tuple[str, Any]]:
    for name, plan, make in cases(ELEMENTWISE | OF_ROWS):
        for references in ("whole", "sharded") if name.startswith("Weighted + L1") else ("whole",):
            model, leash = sharded_net(plan, references=references)
            optimizer = make(model.parameters())
            step, sent = counted(optimizer.step)
            found = trained(model, leash, optimizer, half(rank), step=step)
            found |= {"sent": sum(sent), "of gate here": model.gate.weight.to_local().numel()}
            yield f"{references} references/{name}", found


def counted(step: Callable[[], Any]) -> tuple[Callable[[], Any], list[int]]:
    """The same step, and how many messages each call has sent."""
    sent: list[int] = []

    def watched() -> None:
        with CommDebugMode() as messages:
            step()
        sent.append(messages.get_total_counts())

    return watched, sent

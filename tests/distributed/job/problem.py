"""A net, batches, plans, and a run of a few steps that tells what all processes should agree on."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.weighted import Weighted

STEPS = 5
BATCH = 8


class Net(nn.Module):
    """Layers of 5, 1 and 3 rows: two processes get unequal parts, and of `gate` the second gets nothing."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.gate, self.head = nn.Linear(6, 5), nn.Linear(5, 1), nn.Linear(5, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x).tanh()
        return self.head(hidden * self.gate(hidden).sigmoid())


def batches(dtype: torch.dtype = torch.float64) -> Iterator[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        yield torch.randn(BATCH, 6, generator=draw).to(dtype), torch.randn(BATCH, 3, generator=draw).to(dtype)


def half(rank: int) -> slice:
    """Each process's equal share of a batch."""
    return slice(BATCH // 2 * rank, BATCH // 2 * (rank + 1))


EVERYTHING = slice(None)


def importance() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(2)
    return {name: torch.rand(p.shape, generator=draw, dtype=p.dtype) for name, p in Net().named_parameters()}


ELEMENTWISE: dict[str, Penalty] = {
    "L2": L2(0.3),
    "L1": L1(0.002),
    "Weighted": Weighted(0.5, importance()),
    "L2 + L1": L2(0.3) + L1(0.002),
    "Weighted + L1": Weighted(0.5, importance()) + L1(0.002),
}
OF_ROWS: dict[str, Penalty] = {
    "GroupLasso": GroupLasso(0.002),
    "L2 + L1 + GroupLasso": L2(0.3) + L1(0.001) + GroupLasso(0.002),
    "MarsBall": MarsBall(0.05),
}
OF_TENSORS: dict[str, Penalty] = {"FrobeniusBall": FrobeniusBall(0.05), "layers": GroupLasso(0.002, "layers")}

Make = Callable[[Any], torch.optim.Optimizer]
OPTIMISERS: dict[str, Make] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.0),
}


def cases(penalties: dict[str, Penalty]) -> Iterator[tuple[str, Plan, Make]]:
    for name, penalty in penalties.items():
        for via in ("gradient", "prox") if penalty.coupled else ("prox",):
            for optimiser, make in OPTIMISERS.items():
                yield f"{name} by {via} in {optimiser}", Plan(penalty, L2(0.1), via=via), make


def new_head(model: nn.Module) -> Anchor:
    return Anchor.of(model, new="head.*")


def one_new_row(model: nn.Module) -> Anchor:
    """Of three classes the second is new; it is the first process's second row."""
    rows = torch.tensor([False, True, False])
    return Anchor(Anchor.of(model).references, {"head.weight": rows, "head.bias": rows})


def trained(
    model: nn.Module,
    leash: Tether,
    optimizer: Any,
    share: slice,
    *,
    backward: Callable[[Tensor], None] = Tensor.backward,
    step: Callable[[], Any] | None = None,
) -> dict[str, Any]:
    """Train on a share of each batch."""
    leash.attach(optimizer)
    for x, y in batches(next(model.parameters()).dtype):
        backward(mse_loss(model(x[share]), y[share]))
        (step or optimizer.step)()
        optimizer.zero_grad()
    return told(leash)


def told(leash: Tether) -> dict[str, Any]:
    return {
        "weights": {name: whole(p.detach()) for name, p in leash.parameters.items()},
        "start": {name: p.detach() for name, p in Net().named_parameters()},
        "log": leash.log(),
        "summary": leash.summary(),
        "steps": (leash.steps_seen, leash.steps_acted),
    }


def whole(tensor: Any) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def in_one_process(plan: Plan, make: Make, anchor: Callable[[nn.Module], Anchor] = new_head) -> dict[str, Any]:
    model = Net()
    return trained(model, Tether(model, anchor(model), plan), make(model.parameters()), EVERYTHING)


def sharded_net(
    plan: Plan,
    *,
    references: str = "whole",
    anchor: Callable[[nn.Module], Anchor] = new_head,
    mesh: Any = None,
    dtype: torch.dtype = torch.float64,
) -> tuple[Any, Tether]:
    """A net after `fully_shard`, held to references that were taken before it (`whole`) or after (`sharded`)."""
    from torch.distributed.fsdp import fully_shard

    model = Net().to(dtype)
    before = anchor(model)
    fully_shard(model, mesh=mesh)
    return model, Tether(model, before if references == "whole" else anchor(model), plan)

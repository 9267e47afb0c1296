"""What else a tether does, on shards."""

from collections.abc import Iterator
from typing import Any

import torch
from problem import EVERYTHING, OPTIMISERS, Net, batches, half, new_head, sharded_net, whole
from refusals import refusal
from torch import Tensor
from torch.nn.functional import mse_loss

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan


def alone() -> Iterator[tuple[str, Any]]:
    for act in (as_loss_term, in_closure, other_weights, own_start, restored):
        yield act.__name__, act(False, EVERYTHING)


def results(rank: int) -> Iterator[tuple[str, Any]]:
    for act in (as_loss_term, in_closure, other_weights, own_start, restored):
        yield f"sharded/{act.__name__}", act(True, half(rank))


def made(plan: Plan, sharded: bool) -> tuple[Any, Tether]:
    if sharded:
        return sharded_net(plan)
    model = Net()
    return model, Tether(model, new_head(model), plan)


def as_loss_term(sharded: bool, share: slice) -> dict[str, Tensor]:
    model, leash = made(Plan(L2(0.3) + L1(0.01), L2(0.1)), sharded)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    x, y = next(batches())
    (mse_loss(model(x[share]), y[share]) + leash.value()).backward()
    return {name: whole(p.grad) for name, p in leash.parameters.items()}


def in_closure(sharded: bool, share: slice) -> float:
    """The loss that a step returns has Ω added to it; here the closure's own part of it is zero."""
    model, leash = made(Plan(L2(0.3), L2(0.1), via="gradient"), sharded)
    optimizer = OPTIMISERS["SGD"](model.parameters())
    leash.attach(optimizer)
    x, y = next(batches())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mse_loss(model(x[share]), y[share])
        loss.backward()
        return 0.0 * loss.detach()

    return float(optimizer.step(closure))


def other_weights(sharded: bool, share: slice) -> float:
    other = {name: torch.full_like(p, 0.1) for name, p in Net().named_parameters()}
    _, leash = made(Plan(L2(0.3).toward(other), L2(0.1).toward(other)), sharded)
    return float(leash.value().detach())


def own_start(sharded: bool, share: slice) -> str:
    start = {name: p.detach().clone() for name, p in Net().named_parameters()}
    return refusal(lambda: made(Plan(L2(0.3), L2(0.1).toward(start)), sharded))


def restored(sharded: bool, share: slice) -> float:
    _, leash = made(Plan(L2(0.3), L2(0.1)), sharded)
    anchor = new_head(Net())
    leash.restore(Anchor({name: value + 1 for name, value in anchor.references.items()}, anchor.new))
    return float(leash.value().detach())

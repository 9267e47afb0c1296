"""Saved, loaded and stepped again."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tether.anchor import Anchor
from tether.audit.resume import resume
from tether.audit.snapshot import unchanged
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

INPUTS, TARGETS = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3


def trained(make: Any, *, step: float | None = None, **groups: Any) -> Any:
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    optimizer = make([{"params": model[0].parameters(), **groups}, {"params": model[2].parameters()}])
    leash = Tether(model, Anchor.of(model, new="2.*"), Plan(L2(1e-3), L2(1e-5))).attach(optimizer, step=step)
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(model(INPUTS), TARGETS).backward()
        optimizer.step()
    return leash, optimizer, {p: p.grad.clone() for p in model.parameters()}


@pytest.mark.parametrize(
    "make",
    [
        lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
        lambda groups: torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.0, fused=True),
        lambda groups: torch.optim.Adam(groups, lr=1e-3, betas=(0.8, 0.9), amsgrad=True),
        lambda groups: torch.optim.RMSprop(groups, lr=1e-3, centered=True, momentum=0.5),
    ],
)
def test_the_next_step_has_the_same_bits(make: Any) -> None:
    leash, optimizer, gradients = trained(make, lr=3e-3)
    with unchanged(leash, optimizer):
        row = resume(leash, optimizer, gradients)
    assert row.passed, row


class Counting(torch.optim.SGD):
    """What it counts is not all in its state, and moves no weight."""

    def step(self, closure: Any = None) -> Any:
        self.count = getattr(self, "count", 0) + 1
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["count"] = self.count
        return super().step(closure)


def test_a_state_that_differs_is_found_though_the_weights_do_not() -> None:
    leash, optimizer, gradients = trained(lambda groups: Counting(groups, lr=0.1), step=0.1)
    with unchanged(leash, optimizer):
        row = resume(leash, optimizer, gradients)
    assert row.passed is False
    assert row.note.startswith("after loading, the next step differs in `the optimiser's state of 0.weight`")


class Bound(torch.optim.SGD):
    """Cannot be made of groups alone."""

    def __init__(self, params: Any, model: nn.Module) -> None:
        super().__init__(params, lr=0.1)


def test_an_optimiser_that_cannot_be_made_again_is_not_known() -> None:
    leash, optimizer, gradients = trained(lambda groups: Bound(groups, nn.Linear(1, 1)), step=0.1)
    with unchanged(leash, optimizer):
        row = resume(leash, optimizer, gradients)
    assert row.passed is None
    assert "missing 1 required positional argument: 'model'" in row.note

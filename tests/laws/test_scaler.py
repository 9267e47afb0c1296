"""Under `GradScaler` a tether does what it does without, and nothing on a step that is skipped."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

WAYS = [
    (L2(0.1), "gradient"),
    (L2(0.1).toward("zero"), "gradient"),
    (L1(0.01), "gradient"),
    (GroupLasso(0.01), "gradient"),
    (L2(0.1), "prox"),
    (L2(0.1).toward("zero"), "prox"),
    (L1(0.01), "prox"),
    (GroupLasso(0.01), "prox"),
    (L2(0.1) + L1(0.01), "prox"),
    (Frozen(), "prox"),
    (L2(1e-5).toward("zero"), "prox"),  # gathered
]
every_way = pytest.mark.parametrize(("penalty", "via"), WAYS, ids=str)
either_kernel = pytest.mark.parametrize("fused", [True, False], ids=["fused", "foreach"])


def made(penalty: Penalty, via: str, *, fused: bool) -> tuple[nn.Module, torch.optim.Optimizer, Tether]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    settings: dict[str, Any] = {"fused": True} if fused else {"foreach": True}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **settings)
    leash = Tether(model, Anchor.of(model, new="2.*"), Plan(penalty, L2(0.01), via=via)).attach(optimizer)
    return model, optimizer, leash


def loss_of(model: nn.Module, generator: torch.Generator) -> Tensor:
    return model(torch.randn(8, 6, generator=generator)).square().mean()


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


@every_way
@either_kernel
@pytest.mark.parametrize("unscale", [False, True], ids=["", "unscaled before"])
def test_it_ends_where_an_unscaled_run_ends(penalty: Penalty, via: str, fused: bool, unscale: bool):
    model, optimizer, leash = made(penalty, via, fused=fused)
    scaler, generator = torch.amp.GradScaler("cpu"), torch.Generator().manual_seed(1)
    for _ in range(40):
        scaler.scale(loss_of(model, generator)).backward()
        if unscale:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    leash.flush()

    plain, optimizer, other = made(penalty, via, fused=fused)
    generator = torch.Generator().manual_seed(1)
    for _ in range(40):
        loss_of(plain, generator).backward()
        optimizer.step()
        optimizer.zero_grad()
    other.flush()
    # a scale is a power of two and exact; what differs is the rounding of the step or scale held in a float32 tensor,
    # which Adam enlarges where a gradient is near 0
    torch.testing.assert_close(values(model), values(plain), rtol=1e-4, atol=2e-5)
    assert leash.acted_on == other.acted_on == "the penalty acted on 40 of 40 steps"


@every_way
@either_kernel
def test_an_overflow_changes_nothing_and_is_not_counted(penalty: Penalty, via: str, fused: bool):
    model, optimizer, leash = made(penalty, via, fused=fused)
    scaler, generator = torch.amp.GradScaler("cpu"), torch.Generator().manual_seed(1)
    for overflow in (False, True, False):
        before = values(model)
        loss = loss_of(model, generator)
        scaler.scale(loss * torch.inf if overflow else loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        same = all(map(torch.equal, values(model), before))
        assert same == overflow
    assert leash.steps_acted == 2


def test_what_is_gathered_grows_only_by_steps_that_were_taken():
    model, optimizer, leash = made(L2(1e-5).toward("zero"), "prox", fused=True)
    scaler = torch.amp.GradScaler("cpu", growth_interval=10**6)
    for step in range(20):
        loss = model(torch.ones(1, 6)).square().mean()
        scaler.scale(loss * torch.inf if step % 2 else loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert leash.attachment is not None
    collected = leash.attachment.gathering.collected
    assert {part.name: pytest.approx(1e-2) for part in leash.parts if part.role == "transferred"}.items() <= {
        part.name: float(step) for part, step in collected.items()
    }.items()


def test_a_plain_copy_of_the_model_is_not_touched():
    model, optimizer, _ = made(L2(0.1), "prox", fused=False)
    copied = copy.deepcopy(model)
    before = values(copied)
    model(torch.ones(1, 6)).sum().backward()
    optimizer.step()
    assert all(map(torch.equal, values(copied), before))

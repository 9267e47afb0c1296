"""Acting by gradient is the optimiser's own weight decay, and the loss term, on a real net over 200 steps."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import differential_l2, l2, l2_sp

STEPS = 200
HEAD = "9.*"
ADAM, SGD = torch.optim.Adam, torch.optim.SGD
OPTIMISERS = [
    (ADAM, {"lr": 1e-3, "foreach": False}),
    (ADAM, {"lr": 1e-3, "foreach": True}),
    (ADAM, {"lr": 1e-3, "fused": True}),
    (ADAM, {"lr": 1e-3, "amsgrad": True}),
    (ADAM, {"lr": 1e-3, "maximize": True}),
    (ADAM, {"lr": 1e-3, "maximize": True, "fused": True}),
    (SGD, {"lr": 1e-2, "momentum": 0.9, "foreach": False}),
    (SGD, {"lr": 1e-2, "momentum": 0.9, "foreach": True}),
    (SGD, {"lr": 1e-2, "momentum": 0.9, "fused": True}),
    (SGD, {"lr": 1e-2, "momentum": 0.9, "nesterov": True}),
    (SGD, {"lr": 1e-2, "maximize": True}),
]


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.0),
        nn.Linear(32, 5),
    )


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, leash: Tether | None = None, steps: int = STEPS
) -> None:
    generator = torch.Generator().manual_seed(1)
    dtype = next(model.parameters()).dtype
    for _ in range(steps):
        pictures = torch.randn(8, 1, 8, 8, generator=generator).to(dtype)
        loss = cross_entropy(model(pictures), torch.randint(5, (8,), generator=generator))
        if leash is not None:
            loss = loss + leash.value()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize(("kind", "settings"), OPTIMISERS, ids=str)
def test_differential_l2_ends_on_the_bits_of_two_weight_decay_groups(kind: Any, settings: dict[str, Any]):
    ours = net()
    articles = copy.deepcopy(ours)
    parameters = list(articles.parameters())
    groups = [{"params": parameters[:-2], "weight_decay": 1e-5}, {"params": parameters[-2:], "weight_decay": 1e-4}]
    train(articles, kind(groups, **settings))

    optimizer = kind(ours.parameters(), **settings)
    leash = Tether(ours, Anchor.of(ours, new=HEAD), differential_l2()).attach(optimizer)
    start = [p.clone() for p in values(ours)]
    train(ours, optimizer)
    assert all(map(torch.equal, values(ours), values(articles)))
    assert not any(map(torch.equal, values(ours), start))
    assert leash.acted_on == f"the penalty acted on {STEPS} of {STEPS} steps"


def test_without_the_tether_the_bits_are_others():
    tethered = net()
    plain = copy.deepcopy(tethered)
    optimizer = ADAM(tethered.parameters())
    Tether(tethered, Anchor.of(tethered, new=HEAD), differential_l2()).attach(optimizer)
    train(tethered, optimizer)
    train(plain, ADAM(plain.parameters()))
    assert not all(map(torch.equal, values(tethered), values(plain)))


def test_l2_is_weight_decay_on_everything():
    ours = net()
    theirs = copy.deepcopy(ours)
    optimizer = SGD(ours.parameters(), lr=0.01, momentum=0.9)
    leash = Tether(ours, Anchor.of(ours, new=HEAD), l2(1e-2)).attach(optimizer)
    train(ours, optimizer)
    train(theirs, SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-2))
    assert all(map(torch.equal, values(ours), values(theirs)))
    assert leash.steps_acted == STEPS


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(SGD, {"lr": 0.01, "momentum": 0.9}), (ADAM, {"lr": 1e-3}), (ADAM, {"lr": 1e-3, "fused": True})],
    ids=str,
)
def test_acting_by_gradient_is_a_term_of_the_loss(kind: Any, settings: dict[str, Any]):
    hooked = net().double()
    summed = copy.deepcopy(hooked)
    plan = l2_sp(alpha=0.5, beta=0.1)
    optimizer = kind(hooked.parameters(), **settings)
    Tether(hooked, Anchor.of(hooked, new=HEAD), plan).attach(optimizer)
    train(hooked, optimizer)
    term = Tether(summed, Anchor.of(summed, new=HEAD), plan)
    train(summed, kind(summed.parameters(), **settings), leash=term)
    # Adam turns rounding of gradients that are almost 0 (convolutions before BatchNorm have such biases) into steps
    scale = 1e-9 if kind is SGD else 1e-5
    torch.testing.assert_close(values(hooked), values(summed), rtol=scale, atol=scale)


def test_it_acts_after_clipping_as_weight_decay_does():
    ours = net()
    theirs = copy.deepcopy(ours)

    def clipped(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(20):
            model(torch.ones(4, 1, 8, 8)).square().sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()
            optimizer.zero_grad()

    optimizer = SGD(ours.parameters(), lr=0.01)
    leash = Tether(ours, Anchor.of(ours, new=HEAD), l2(0.1)).attach(optimizer)
    clipped(ours, optimizer)
    clipped(theirs, SGD(theirs.parameters(), lr=0.01, weight_decay=0.1))
    assert all(map(torch.equal, values(ours), values(theirs)))
    assert leash.steps_acted == 20


@pytest.mark.parametrize("via", ["gradient", "prox"])
def test_accumulation_changes_nothing(via: str):
    def run(pieces: int) -> list[Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3)).double()
        leash = Tether(model, Anchor.of(model, new="2.*"), Plan(L2(0.3), L2(0.1)))
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        leash.attach(optimizer, via=via)
        for _ in range(10):
            for batch in torch.randn(12, 6, dtype=torch.float64).chunk(pieces):
                (model(batch).square().mean() / pieces).backward()
            optimizer.step()
            optimizer.zero_grad()
        assert leash.steps_acted == 10
        return values(model)

    torch.testing.assert_close(run(1), run(4), rtol=1e-12, atol=1e-14)

"""Gouk, Hospedales and Pontil, 2021: projection after each step keeps every layer within its radius of the source."""

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.plan import Plan
from tether.penalties.presets import mars_sp


def mars(delta: Tensor) -> Tensor:
    rows = delta.flatten(1) if delta.ndim > 1 else delta[:, None]
    return rows.abs().sum(1).max()


def train(plan: Plan, steps: int = 40) -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    leash = Tether(model, Anchor.of(model, new="2.*"), plan)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, amsgrad=True)  # the paper's optimiser
    leash.attach(optimizer)
    x, y = torch.randn(20, 1, 4, 4), torch.randint(3, (20,))
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert leash.steps_acted == (steps if leash.parts else 0)
    return model, {name: p.detach() - start[name] for name, p in model.named_parameters()}


def test_every_transferred_layer_stays_within_its_radius_and_reaches_it():
    _, free = train(Plan())
    assert mars(free["0.weight"]) > 0.5
    _, moved = train(mars_sp(0.5))
    assert mars(moved["0.weight"]) == pytest.approx(0.5, rel=1e-5)
    assert mars(moved["0.bias"]) <= 0.5 + 1e-6
    assert mars(moved["2.weight"]) > 0.5


def test_the_new_head_has_a_ball_around_zero():
    model, _ = train(mars_sp(0.5, new=1.5))
    assert mars(model[2].weight.detach()) == pytest.approx(1.5, rel=1e-5)


def test_the_frobenius_ball_is_the_papers_other_constraint():
    _, moved = train(Plan(FrobeniusBall(0.3)))
    assert float(moved["0.weight"].norm()) == pytest.approx(0.3, rel=1e-5)


def test_no_other_matrix_within_the_radius_is_nearer_than_the_projection():
    """The authors' code shrinks a long row by radius/‖row‖₁; that is within the radius too, and farther off."""
    delta = torch.randn(5, 8, dtype=torch.float64)
    norms = delta.abs().sum(1, keepdim=True)
    shrunk = delta / (norms / 1.0).clamp_min(1)
    nearest = MarsBall(1.0).prox(delta, 1.0)
    assert mars(shrunk) <= 1 + 1e-12
    assert (nearest - delta).norm() < (shrunk - delta).norm()

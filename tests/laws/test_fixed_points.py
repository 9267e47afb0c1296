"""Ridge toward a prior mean has a closed form; every way of acting that has the objective's fixed point reaches it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

STRENGTH, N = 0.7, 30
MOMENTA: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.8, "dampening": 0.5},
]


class Ridge:
    """A linear model, its data, and argmin 1/n ‖Xw − y‖² + λ/2 ‖w − w₀‖² = (2XᵀX/n + λI)⁻¹(2Xᵀy/n + λw₀)."""

    def __init__(self) -> None:
        self.x, self.y = torch.randn(N, 5, dtype=torch.float64), torch.randn(N, 1, dtype=torch.float64)
        self.model = nn.Linear(5, 1, bias=False, dtype=torch.float64)
        self.start = self.model.weight.detach().clone()
        self.leash = Tether(self.model, Anchor.of(self.model), Plan(L2(STRENGTH)))

    def solution(self) -> Tensor:
        left = 2 * self.x.T @ self.x / N + STRENGTH * torch.eye(5, dtype=torch.float64)
        return torch.linalg.solve(left, 2 * self.x.T @ self.y / N + STRENGTH * self.start.T).T

    def closure(self, optimizer: torch.optim.Optimizer) -> Any:
        def evaluate() -> Tensor:
            optimizer.zero_grad()
            loss = (self.model(self.x) - self.y).square().mean()
            loss.backward()
            return loss

        return evaluate

    def distance(self) -> float:
        return float((self.model.weight.detach() - self.solution()).abs().max())


@pytest.mark.parametrize("via", ["gradient", "prox"])
@pytest.mark.parametrize("settings", MOMENTA, ids=str)
def test_sgd_reaches_ridge(via: str, settings: dict[str, Any]):
    ridge = Ridge()
    optimizer = torch.optim.SGD(ridge.model.parameters(), lr=0.05, **settings)
    ridge.leash.attach(optimizer, via=via)
    for _ in range(600):
        ridge.closure(optimizer)()
        optimizer.step()
    assert ridge.distance() < 1e-8


@pytest.mark.parametrize("via", ["gradient", "prox"])
@pytest.mark.parametrize("positional", [True, False], ids=["positional", "keyword"])
def test_a_closure_reaches_ridge_too(via: str, positional: bool):
    ridge = Ridge()
    optimizer = torch.optim.SGD(ridge.model.parameters(), lr=0.05, momentum=0.9)
    ridge.leash.attach(optimizer, via=via)
    closure = ridge.closure(optimizer)
    for _ in range(600):
        if positional:
            optimizer.step(closure)
        else:
            optimizer.step(closure=closure)
    assert ridge.distance() < 1e-8


def test_a_closure_by_gradient_returns_the_objective():
    ridge = Ridge()
    optimizer = torch.optim.SGD(ridge.model.parameters(), lr=0.05)
    ridge.model.weight.detach().add_(1.0)
    penalty = float(ridge.leash.value().detach())
    ridge.leash.attach(optimizer, via="gradient")
    loss = float((ridge.model(ridge.x) - ridge.y).square().mean().detach())
    assert float(optimizer.step(ridge.closure(optimizer))) == pytest.approx(loss + penalty)


def test_where_it_is_maximised_the_penalty_is_taken_off_the_objective():
    ridge = Ridge()
    optimizer = torch.optim.SGD(ridge.model.parameters(), lr=0.05, maximize=True)
    ridge.model.weight.detach().add_(1.0)
    penalty = float(ridge.leash.value().detach())
    ridge.leash.attach(optimizer, via="gradient")
    loss = float((ridge.model(ridge.x) - ridge.y).square().mean().detach())
    assert float(optimizer.step(ridge.closure(optimizer))) == pytest.approx(loss - penalty)


def test_a_closure_that_returns_nothing_stays_so():
    ridge = Ridge()
    optimizer = torch.optim.SGD(ridge.model.parameters(), lr=0.05)
    ridge.leash.attach(optimizer, via="gradient")
    closure = ridge.closure(optimizer)
    assert optimizer.step(lambda: closure() and None) is None


def test_lbfgs_reaches_ridge_by_gradient():
    ridge = Ridge()
    optimizer = torch.optim.LBFGS(
        ridge.model.parameters(), line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-16
    )
    ridge.leash.attach(optimizer, via="gradient")
    for _ in range(5):
        optimizer.step(ridge.closure(optimizer))
    assert ridge.distance() < 1e-8


def test_under_adam_the_two_ways_end_apart():
    """The gradient's fixed point is the objective's; the prox is decoupled, as AdamW is, and has another."""
    distances = {}
    for via in ("gradient", "prox"):
        torch.manual_seed(0)
        ridge = Ridge()
        optimizer = torch.optim.Adam(ridge.model.parameters(), lr=0.02)
        ridge.leash.attach(optimizer, via=via)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.995)
        for _ in range(1500):
            ridge.closure(optimizer)()
            optimizer.step()
            scheduler.step()
        distances[via] = ridge.distance()
    assert distances["gradient"] < 1e-4
    assert distances["prox"] > 1e-2


def test_with_the_rate_alone_for_a_step_momentum_misses_ridge():
    ridge = Ridge()
    optimizer = torch.optim.SGD(ridge.model.parameters(), lr=0.05, momentum=0.9)
    ridge.leash.attach(optimizer, via="prox", step=0.05)
    for _ in range(600):
        ridge.closure(optimizer)()
        optimizer.step()
    assert ridge.distance() > 0.05


@pytest.mark.parametrize("via", ["gradient", "prox"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam], ids=lambda kind: kind.__name__)
def test_a_tensor_rate_is_the_same_rate(via: str, kind: Any):
    ends = []
    for lr in (0.0625, torch.tensor(0.0625)):  # exact in float32
        torch.manual_seed(0)
        ridge = Ridge()
        optimizer = kind(ridge.model.parameters(), lr=lr, foreach=False)
        ridge.leash.attach(optimizer, via=via)
        for _ in range(50):
            ridge.closure(optimizer)()
            optimizer.step()
        ends.append(ridge.model.weight.detach())
    # the share of a prox step is then a float32 tensor
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)

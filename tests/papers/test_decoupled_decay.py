"""Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization: under Adam the two ways are two methods."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

LR, STEPS, COUNT = 1e-3, 500, 2000


class Weights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calm = nn.Parameter(torch.ones(COUNT, dtype=torch.float64))
        self.loud = nn.Parameter(torch.ones(COUNT, dtype=torch.float64))


def noisy(model: Weights, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Gradients without a mean, 10 times larger on the loud weights; the mean of each at the end."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        noise: Tensor = torch.randn(2, COUNT, generator=generator, dtype=torch.float64)
        model.calm.grad, model.loud.grad = noise[0], 10 * noise[1]
        optimizer.step()
    return {name: float(p.detach().mean()) for name, p in model.named_parameters()}


def ends(strength: float, via: str) -> dict[str, float]:
    model = Weights()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    Tether(model, Anchor.of(model), Plan(L2(strength).toward("zero"))).attach(optimizer, via=via)
    return noisy(model, optimizer)


def adamw(strength: float) -> dict[str, float]:
    model = Weights()
    return noisy(model, torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=strength))


def test_coupled_adam_pulls_weights_with_larger_gradients_less():
    found = ends(0.1, "gradient")
    pulled = {name: 1 - mean for name, mean in found.items()}
    assert pulled["calm"] > 0.03
    assert pulled["loud"] == pytest.approx(pulled["calm"] / 10, abs=3e-3)  # the mean of 2,000 walks is off by 5e-4


def test_by_prox_all_weights_shrink_alike_as_in_adamw():
    found, theirs = ends(0.5, "prox"), adamw(0.5)
    for name, mean in found.items():
        assert mean == pytest.approx((1 + LR * 0.5) ** -STEPS, abs=2e-3)
        assert mean == pytest.approx(theirs[name], abs=1e-4)  # 1/(1 + ηλ) and 1 − ηλ differ by (ηλ)², 500 times


def test_sgd_knows_no_such_difference():
    """Their proposition 1: for plain SGD a decay and a coupled penalty are one method, up to a scaling."""
    found: dict[str, Any] = {}
    for via in ("gradient", "prox"):
        model = Weights()
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        strength = 0.5 if via == "gradient" else 0.5 / (1 - LR * 0.5)
        Tether(model, Anchor.of(model), Plan(L2(strength).toward("zero"))).attach(optimizer, via=via)
        found[via] = noisy(model, optimizer)
    assert found["gradient"] == pytest.approx(found["prox"], abs=1e-5)

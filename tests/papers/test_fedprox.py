"""Li et al., 2020, eq. 2: h(w; wᵗ) = F(w) + μ/2 ‖w − wᵗ‖², squared and with the ½."""

import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.presets import fedprox


def client() -> tuple[nn.Module, Tether]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2, dtype=torch.float64)
    return model, Tether(model, Anchor.of(model), fedprox(0.4))


def test_its_value_is_half_mu_times_the_squared_distance():
    model, leash = client()
    start = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    squared = sum((p.detach() - s).square().sum() for p, s in zip(model.parameters(), start, strict=True))
    torch.testing.assert_close(leash.value().detach(), 0.2 * squared)


@pytest.mark.parametrize("distance", [1.0, 0.1, 0.001])
def test_its_gradient_goes_to_zero_linearly_where_the_round_started(distance: float):
    """That of the unsquared norm, as some have it, would stay at μ."""
    model, leash = client()
    start = model.weight.detach().clone()
    direction = torch.ones_like(start) / start.numel() ** 0.5
    model.weight.data = start + distance * direction
    leash.value().backward()
    torch.testing.assert_close(model.weight.grad, 0.4 * distance * direction)


def test_one_local_step_is_the_papers():
    """w ← w − η(∇F(w) + μ(w − wᵗ)), and every round starts from its own global model."""
    model, leash = client()
    x = torch.randn(5, 3, dtype=torch.float64)
    for _ in range(2):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        leash.attach(optimizer)
        received = model.weight.detach().clone()
        for _ in range(3):
            before = model.weight.detach().clone()
            optimizer.zero_grad()
            model(x).square().mean().backward()
            gradient = model.weight.grad.clone()
            optimizer.step()
            expected = before - 0.1 * (gradient + 0.4 * (before - received))
            torch.testing.assert_close(model.weight.detach(), expected)
        leash.detach()
        leash = Tether(model, Anchor.of(model), fedprox(0.4))

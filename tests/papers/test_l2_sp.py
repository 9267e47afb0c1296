"""Li, Grandvalet and Davoine (2018), Explicit Inductive Bias for Transfer Learning, eq. 4 and section 3."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.presets import l2, l2_sp

ALPHA, BETA = 0.1, 0.01
CURVATURE = torch.tensor([0.0, 0.05, 0.5, 5.0], dtype=torch.float64)  # 0: the data say nothing of this weight
TARGET = torch.tensor([3.0, 2.0, -1.0, 0.5], dtype=torch.float64)
SOURCE = torch.tensor([1.0, -1.0, 2.0, -3.0], dtype=torch.float64)


class Quadratic(nn.Module):
    """½ Σ h (w − t)², of which every penalised minimiser has a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Parameter(SOURCE.clone())
        self.head = nn.Parameter(torch.randn(4, dtype=torch.float64))

    def forward(self) -> Tensor:
        return sum((CURVATURE * (w - TARGET).square()).sum() / 2 for w in (self.body, self.head))


def minimised(plan: Any, via: str) -> Quadratic:
    model = Quadratic()
    leash = Tether(model, Anchor.of(model, new="head"), plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    leash.attach(optimizer, via=via)
    for _ in range(3000):
        optimizer.zero_grad()
        model().backward()
        optimizer.step()
    assert leash.steps_acted == 3000
    return model


def test_the_penalty_is_equation_4():
    model = Quadratic()
    leash = Tether(model, Anchor.of(model, new="head"), l2_sp(ALPHA, BETA))
    model.body.detach().add_(1.0)
    expected = ALPHA / 2 * (model.body - SOURCE).norm() ** 2 + BETA / 2 * model.head.norm() ** 2
    torch.testing.assert_close(leash.value(), expected)


@pytest.mark.parametrize("via", ["gradient", "prox"])
def test_a_weight_ends_between_its_source_and_its_target(via: str):
    model = minimised(l2_sp(ALPHA, BETA), via)
    body = (CURVATURE * TARGET + ALPHA * SOURCE) / (CURVATURE + ALPHA)
    head = CURVATURE * TARGET / (CURVATURE + BETA)
    torch.testing.assert_close(model.body.detach(), body, rtol=0, atol=1e-8)
    # where the data say nothing, a new weight decays at its own slow rate: .01 · .1/(1 − .9) a step
    torch.testing.assert_close(model.head.detach(), head, rtol=0, atol=1e-8)


def test_where_the_data_say_nothing_l2_forgets_the_source_and_l2_sp_keeps_it():
    assert minimised(l2_sp(ALPHA, BETA), "gradient").body[0].item() == 1.0
    assert abs(minimised(l2(ALPHA), "gradient").body[0].item()) < 1e-8

"""Chen et al., 2020: the annealed objective λ(t)·L + (1 − λ(t))·γ/2‖w − w⁰‖², its penalty after each step."""

import math

import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.schedule import Annealing

GAMMA, RATE, MIDDLE, LR, STEPS = 30.0, 0.2, 15, 1e-2, 40


def test_the_pull_fades_as_the_papers_coefficient_does():
    torch.manual_seed(0)
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    start = model.weight.detach().clone()
    plan = Plan(L2(GAMMA).toward("source", Annealing(RATE, MIDDLE)))
    leash = Tether(model, Anchor.of(model), plan)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    leash.attach(optimizer)
    plain = nn.Parameter(start.clone())
    theirs = torch.optim.Adam([plain], lr=LR)
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64)
    for t in range(STEPS):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
        theirs.zero_grad()
        (x @ plain.T - y).square().mean().backward()
        theirs.step()
        left = 1 - 1 / (1 + math.exp(-RATE * (t - MIDDLE)))
        # the paper's code takes lr·(1 − λ)·γ of the displacement; the prox shrinks by its inverse
        plain.data = start + (plain.data - start) / (1 + LR * left * GAMMA)
    torch.testing.assert_close(model.weight.detach(), plain.detach(), rtol=1e-12, atol=1e-14)
    assert (model.weight - start).norm() > 0.05

"""Tibshirani (1996), with scikit-learn's coordinate descent for an oracle."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l1 import L1
from tether.penalties.plan import Plan


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.5])
def test_sgd_and_the_prox_reach_the_lasso(strength: float):
    x = torch.randn(60, 12, dtype=torch.float64)
    y = x @ torch.tensor([3.0, -2.0, 1.0, 0.3] + 8 * [0.0], dtype=torch.float64) + torch.randn(60, dtype=torch.float64)
    oracle = Lasso(alpha=strength, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x.numpy(), y.numpy()).coef_

    model = nn.Linear(12, 1, bias=False, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    Tether(model, Anchor.of(model), Plan(L1(strength).toward("zero"))).attach(optimizer)
    for _ in range(1000):
        optimizer.zero_grad()
        ((model(x).flatten() - y).square().mean() / 2).backward()
        optimizer.step()
    found = model.weight.detach().flatten().numpy()
    np.testing.assert_allclose(found, oracle, rtol=0, atol=1e-6)
    assert np.array_equal(found == 0, oracle == 0)

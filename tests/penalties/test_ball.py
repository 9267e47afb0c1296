import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tether.errors import PlanError
from tether.penalties.ball import FrobeniusBall, MarsBall


def test_the_frobenius_projection_keeps_the_direction():
    delta = torch.randn(4, 5, dtype=torch.float64)
    found = FrobeniusBall(0.5).prox(delta, 1.0)
    torch.testing.assert_close(found, delta / delta.norm() * 0.5)


def test_the_mars_norm_is_torchs_operator_norm():
    delta = torch.randn(4, 5)
    torch.testing.assert_close(MarsBall(1.0).norm(delta), torch.linalg.matrix_norm(delta, ord=math.inf))
    filters = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(MarsBall(1.0).norm(filters), torch.linalg.matrix_norm(filters.flatten(1), ord=math.inf))


def test_the_mars_projection_is_scipys():
    """The nearest point under Σ|x| ≤ r, with x = p − q for p, q ≥ 0, as a general solver finds it."""
    row = np.array([1.4, -0.9, 0.3, 0.05])
    found = MarsBall(1.0).prox(torch.from_numpy(row)[None], 1.0)[0].numpy()
    solved = minimize(
        lambda z: np.square(z[:4] - z[4:] - row).sum() / 2,
        np.full(8, 0.1),
        bounds=[(0, None)] * 8,
        constraints={"type": "ineq", "fun": lambda z: 1.0 - z.sum()},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert abs(found - (solved.x[:4] - solved.x[4:])).max() < 1e-6


def test_rows_within_the_radius_do_not_change():
    delta = torch.tensor([[0.4, -0.5], [3.0, 4.0]])
    found = MarsBall(1.0).prox(delta, 1.0)
    assert torch.equal(found[0], delta[0])
    torch.testing.assert_close(found[1].abs().sum(), torch.tensor(1.0))


def test_in_a_bias_each_value_is_a_row():
    assert torch.equal(MarsBall(1.0).prox(torch.tensor([0.5, -3.0]), 1.0), torch.tensor([0.5, -1.0]))


@pytest.mark.parametrize("kind", [FrobeniusBall, MarsBall])
@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan, "1", True], ids=repr)
def test_a_radius_that_is_none_is_refused(kind, radius):
    with pytest.raises(PlanError, match="a radius is a finite number above 0"):
        kind(radius)


@pytest.mark.parametrize("kind", [FrobeniusBall, MarsBall])
def test_the_step_does_not_matter(kind):
    delta = torch.randn(4, 5)
    assert torch.equal(kind(0.5).prox(delta, 1e-6), kind(0.5).prox(delta, 10.0))

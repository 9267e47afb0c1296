"""Chen et al. (NeurIPS 2019), Catastrophic forgetting meets negative transfer: batch spectral shrinkage, section 4."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tether.terms.bss import BSS, smallest_energy
from tether.terms.classify import Classify

ETA, K = 0.001, 1  # of the published code


def test_a_step_shrinks_the_smallest_singular_values_and_leaves_the_others():
    """F = UΣVᵀ: after a step of rate r on η Σ σ₋ᵢ² the k smallest are (1 − 2rη) of themselves, on the same vectors."""
    features, rate, k = torch.randn(12, 30, dtype=torch.float64, requires_grad=True), 100.0, 3
    (ETA * smallest_energy(features, k)).backward()
    u, sigma, vh = torch.linalg.svd(features.detach(), full_matrices=False)
    sigma[-k:] *= 1 - 2 * rate * ETA
    torch.testing.assert_close(features.detach() - rate * features.grad, u @ torch.diag(sigma) @ vh)


def test_the_objective_is_the_cross_entropy_and_eta_times_the_smallest_squared():
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3)).double()
    x, labels = torch.randn(10, 6).double(), torch.arange(10) % 3
    sigma = torch.linalg.svdvals(model[:2](x))
    expected = cross_entropy(model(x), labels) + ETA * sigma[-1] ** 2
    torch.testing.assert_close((Classify() + ETA * BSS(k=K))(model, (x, labels)).total, expected)


def test_in_training_the_smallest_values_fall_below_those_without_it():
    ends = []
    for eta in (0.0, 0.1):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3)).double()
        x, labels = torch.randn(10, 6).double(), torch.arange(10) % 3
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            (Classify() + eta * BSS(k=2))(model, (x, labels)).total.backward()
            optimizer.step()
        ends.append(torch.linalg.svdvals(model[:2](x).detach()))
    without, with_it = ends
    assert (with_it[-2:] < 0.5 * without[-2:]).all()
    assert with_it[0] > 0.8 * without[0]

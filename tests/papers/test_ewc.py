"""Kirkpatrick et al., 2017: with the exact curvature of task A, EWC on task B ends where both tasks together do."""

import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.curvature.fisher import fisher
from tether.penalties.plan import Plan
from tether.penalties.presets import ewc, l2_sp, l2_sp_fisher

D, N = 4, 50


def task(seed: int, count: int = N) -> tuple[Tensor, Tensor]:
    """Inputs whose covariance is exactly diagonal, so that a diagonal Fisher information loses nothing."""
    generator = torch.Generator().manual_seed(seed)
    orthogonal = torch.linalg.qr(torch.randn(count, D, generator=generator, dtype=torch.float64)).Q
    scales = torch.rand(D, generator=generator, dtype=torch.float64) + 0.5
    return orthogonal * scales, torch.randn(count, 1, generator=generator, dtype=torch.float64)


def loss(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The negative log likelihood of a Gaussian with variance 1, summed over the samples."""
    return (x @ weight.T - y).square().sum() / 2


def minimiser(*tasks: tuple[Tensor, Tensor]) -> Tensor:
    left = sum(x.T @ x for x, _ in tasks)
    right = sum(x.T @ y for x, y in tasks)
    return torch.linalg.solve(left, right).T


def tuned(start: Tensor, plan: Plan, x: Tensor, y: Tensor, share: float = 1.0) -> Tensor:
    """The minimiser of share · loss + the plan's penalty toward `start`."""
    model = nn.Linear(D, 1, bias=False, dtype=torch.float64)
    model.weight.data = start.clone()
    leash = Tether(model, Anchor.of(model), plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 / share, momentum=0.5)
    leash.attach(optimizer)
    for _ in range(400):
        optimizer.zero_grad()
        (share * loss(model.weight, x, y)).backward()
        optimizer.step()
    return model.weight.detach()


def test_ewc_toward_the_minimum_of_a_on_b_is_the_minimum_of_both():
    first, second = task(1), task(2)
    information = {"weight": first[0].square().sum(0, keepdim=True)}  # the Fisher information of that likelihood
    found = tuned(minimiser(first), ewc(information, 1.0), *second)
    torch.testing.assert_close(found, minimiser(first, second), rtol=0, atol=1e-10)
    assert (found - minimiser(second)).abs().max() > 1e-2


def test_with_means_over_samples_the_strength_is_the_ratio_of_their_counts():
    first, second = task(1, 80), task(2, 20)
    information = {"weight": first[0].square().mean(0, keepdim=True)}
    found = tuned(minimiser(first), ewc(information, 80 / 20), *second, share=1 / 20)
    torch.testing.assert_close(found, minimiser(first, second), rtol=0, atol=1e-10)


def test_its_value_is_half_lambda_times_fisher_times_squares():
    """λ/2 Σ F_i (θ_i − θ_i*)², Kirkpatrick et al., 2017, eq. 3."""
    torch.manual_seed(0)
    model = nn.Linear(D, 3)
    information = fisher(model, [torch.randn(20, D)])
    leash = Tether(model, Anchor.of(model), ewc(information, 40.0))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    expected = sum(
        40.0 / 2 * (information[name] * (p.detach() - start[name]) ** 2).sum() for name, p in model.named_parameters()
    )
    torch.testing.assert_close(leash.value().detach(), expected)


def test_l2_sp_fisher_is_l2_sp_where_the_information_is_one():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(D, 3), nn.Linear(3, 2))
    anchor = Anchor.of(model, new="1.*")
    ones = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    weighted, plain = (Tether(model, anchor, plan) for plan in (l2_sp_fisher(ones), l2_sp()))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    torch.testing.assert_close(weighted.value().detach(), plain.value().detach())

"""In its own metric an optimiser and a prox have the objective's fixed point; the steps are those that torch takes."""

from typing import Any

import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import PlanError, UnknownStep
from tether.metric import METRICS, metric
from tether.penalties.ball import FrobeniusBall
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.weighted import Weighted

STRENGTH, N, D = 0.7, 30, 5
VARIANTS: list[tuple[Any, dict[str, Any]]] = [
    (torch.optim.Adam, {"lr": 0.02}),
    (torch.optim.Adam, {"lr": 0.02, "amsgrad": True}),
    (torch.optim.Adam, {"lr": 0.02, "foreach": True}),
    (torch.optim.Adam, {"lr": 0.02, "fused": True}),
    (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.0}),
    (torch.optim.NAdam, {"lr": 0.02}),
    (torch.optim.RAdam, {"lr": 0.02}),
    (torch.optim.Adamax, {"lr": 0.02}),
    (torch.optim.RMSprop, {"lr": 0.002}),
    (torch.optim.RMSprop, {"lr": 0.002, "momentum": 0.9}),
    (torch.optim.Adagrad, {"lr": 0.5}),
]
EXACT = {torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax, torch.optim.Adagrad}


def problem(plan: Plan) -> tuple[nn.Linear, Tether, Tensor, Tensor]:
    torch.manual_seed(0)
    x, y = torch.randn(N, D, dtype=torch.float64), torch.randn(N, 1, dtype=torch.float64)
    model = nn.Linear(D, 1, bias=False, dtype=torch.float64)
    return model, Tether(model, Anchor.of(model), plan), x, y


def train(model: nn.Module, optimizer: Any, x: Tensor, y: Tensor, *, steps: int, decay: float) -> None:
    """Mean square error by half, with a falling rate."""
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    for _ in range(steps):
        optimizer.zero_grad()
        ((model(x) - y).square().mean() / 2).backward()
        optimizer.step()
        schedule.step()


def ridge(x: Tensor, y: Tensor, start: Tensor) -> Tensor:
    """(XᵀX/n + λI)⁻¹(Xᵀy/n + λw₀)."""
    return torch.linalg.solve(x.T @ x / N + STRENGTH * torch.eye(D).to(x), x.T @ y / N + STRENGTH * start.T).T


@pytest.mark.parametrize(("kind", "settings"), VARIANTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_the_optimisers_metric_reaches_ridge_toward_the_source(kind: Any, settings: dict[str, Any]):
    model, leash, x, y = problem(Plan(L2(STRENGTH), metric="optimizer"))
    start = model.weight.detach().clone()
    optimizer = kind(model.parameters(), **settings)
    leash.attach(optimizer)
    train(model, optimizer, x, y, steps=4000, decay=0.998)
    miss = float((model.weight.detach() - ridge(x, y, start)).abs().max())
    # the others' factors of momentum, of the gradients' variance or of the rate are 1 only in the long run
    assert miss < (1e-8 if kind in EXACT else 1e-4)


def test_without_it_the_prox_of_adam_misses_ridge():
    model, leash, x, y = problem(Plan(L2(STRENGTH)))
    start = model.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    leash.attach(optimizer)
    train(model, optimizer, x, y, steps=4000, decay=0.998)
    assert float((model.weight.detach() - ridge(x, y, start)).abs().max()) > 1e-2


def test_lasso_toward_the_source_is_scikit_learns():
    model, leash, x, y = problem(Plan(L1(0.1), metric="optimizer"))
    start = model.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    leash.attach(optimizer)
    train(model, optimizer, x, y, steps=4000, decay=0.998)
    lasso = Lasso(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = lasso.fit(x.numpy(), (y - x @ start.T).numpy().ravel()).coef_
    found = (model.weight.detach() - start).numpy().ravel()
    assert abs(found - expected).max() < 1e-8
    assert set((found == 0).nonzero()[0]) == set((expected == 0).nonzero()[0]) != set()


def test_weighted_toward_the_source_has_its_closed_form():
    importance = torch.rand(1, D, dtype=torch.float64)
    model, leash, x, y = problem(Plan(Weighted(STRENGTH, {"weight": importance}), metric="optimizer"))
    start = model.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    leash.attach(optimizer)
    train(model, optimizer, x, y, steps=4000, decay=0.998)
    weights = STRENGTH * torch.diag(importance[0])
    expected = torch.linalg.solve(x.T @ x / N + weights, x.T @ y / N + weights @ start.T).T
    assert float((model.weight.detach() - expected).abs().max()) < 1e-8


@pytest.mark.parametrize(("kind", "settings"), VARIANTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_step_of_the_metric_is_the_step_that_torch_takes(kind: Any, settings: dict[str, Any]):
    """After many equal gradients an update is the metric's step times the gradient."""
    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    gradient = torch.tensor([1.0, -0.01, 3.0], dtype=torch.float64)
    optimizer = kind([weight], **settings)
    for _ in range(20_000 if kind is torch.optim.NAdam else 2_000):
        before = weight.detach().clone()
        weight.grad = gradient.clone()
        optimizer.step()
    steps = metric(optimizer)(optimizer.param_groups[0], optimizer.state[weight])
    torch.testing.assert_close(before - weight.detach(), steps * gradient, rtol=2e-3, atol=0)


def test_centred_rmsprop_divides_by_the_spread():
    weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = torch.optim.RMSprop([weight], lr=0.1, centered=True)
    for sign in (1.0, -1.0, 1.0):
        before = weight.detach().clone()
        weight.grad = sign * torch.tensor([1.0, 3.0], dtype=torch.float64)
        optimizer.step()
    steps = metric(optimizer)(optimizer.param_groups[0], optimizer.state[weight])
    torch.testing.assert_close(before - weight.detach(), steps * torch.tensor([1.0, 3.0], dtype=torch.float64))


def test_an_optimiser_without_a_known_metric_is_refused():
    model, leash, *_ = problem(Plan(L2(STRENGTH), metric="optimizer"))
    kinds = [
        kind for kind in vars(torch.optim).values() if isinstance(kind, type) and kind.__base__ is torch.optim.Optimizer
    ]
    assert len(kinds) > len(METRICS)
    for kind in set(kinds) - set(METRICS):
        with pytest.raises(UnknownStep, match=f"metric of `{kind.__name__}`"):
            metric(kind(model.parameters(), lr=0.1))
    with pytest.raises(UnknownStep, match="metric of `SGD`"):
        leash.attach(torch.optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("penalty", [GroupLasso(0.1), FrobeniusBall(0.1), L2(0.1) + GroupLasso(0.1)], ids=repr)
def test_what_holds_values_together_has_no_prox_in_a_metric(penalty: Any):
    with pytest.raises(PlanError, match="closed form in the optimiser's metric"):
        Plan(penalty, metric="optimizer")


def test_a_metric_is_of_the_prox():
    with pytest.raises(PlanError, match="of the prox"):
        Plan(L2(0.1), via="gradient", metric="optimizer")
    with pytest.raises(PlanError, match="`metric='adam'`"):
        Plan(L2(0.1), metric="adam")


def test_the_rows_of_a_partly_new_parameter_take_their_own_steps():
    torch.manual_seed(0)
    model = nn.Linear(3, 4, bias=False, dtype=torch.float64)
    mask = torch.tensor([False, True, False, True])
    start = model.weight.detach().clone()
    anchor = Anchor({"weight": start}, {"weight": mask})
    leash = Tether(model, anchor, Plan(L2(STRENGTH), L2(0.2), metric="optimizer"))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    leash.attach(optimizer)
    twin = nn.Linear(3, 4, bias=False, dtype=torch.float64)
    twin.load_state_dict(model.state_dict())
    plain = torch.optim.Adam(twin.parameters(), lr=0.1)
    for net, stepper in ((model, optimizer), (twin, plain)):
        net(torch.ones(2, 3, dtype=torch.float64)).square().sum().backward()
        stepper.step()
    steps = metric(plain)(plain.param_groups[0], plain.state[twin.weight])
    after = twin.weight.detach()
    expected = torch.where(mask[:, None], after / (1 + 0.2 * steps), start + (after - start) / (1 + STRENGTH * steps))
    torch.testing.assert_close(model.weight.detach(), expected, rtol=1e-12, atol=0)


def test_the_summary_says_that_the_metric_is_the_optimisers():
    model, leash, *_ = problem(Plan(L2(STRENGTH), metric="optimizer"))
    assert "by prox in the optimiser's metric" in str(leash.attach(torch.optim.Adam(model.parameters())))
    assert "in the optimiser's metric" not in str(leash.attach(torch.optim.Adam(model.parameters()), via="gradient"))

"""The conversion table of docs/maths.md: its last column, evaluated as it stands, is the convention of its row."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import lsqr
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

PAGE = (Path(__file__).parents[1] / "docs" / "maths.md").read_text(encoding="utf-8")
SYMBOLS = {
    "lam": 0.3,
    "weight_decay": 0.2,
    "alpha": 0.7,
    "beta": 0.4,
    "trade_off": 0.6,
    "mu": 0.5,
    "damp": 0.8,
    "delta": 3.0,
    "N": 40,
    "n": 15,
    "lr": 0.1,
}


def table() -> dict[str, str]:
    """Convention → the expression of its last column."""
    lines = PAGE.split("| convention |")[1].splitlines()[2:]
    rows = [line.strip("| ").split(" | ") for line in lines[: lines.index("")]]
    return {row[0]: row[-1].strip("`") for row in rows}


def evaluated(expression: str) -> Penalty:
    penalty = eval(expression, {"L2": L2, "GroupLasso": GroupLasso}, dict(SYMBOLS))
    assert isinstance(penalty, Penalty)
    return penalty


def displacement() -> Tensor:
    return torch.randn(3, 15 // 3, dtype=torch.float64)


Objective = Callable[[Tensor], Tensor]
FORMULAS: dict[str, Objective] = {
    "the article's formula": lambda d: SYMBOLS["lam"] * d.square().sum(),
    "L2-SP, on transferred weights (Li et al. 2018, eq. 4)": lambda d: SYMBOLS["alpha"] / 2 * d.norm() ** 2,
    "L2-SP, on new weights (Li et al. 2018, eq. 4)": lambda d: SYMBOLS["beta"] / 2 * d.norm() ** 2,
    "Transfer-Learning-Library's SP regularisation": lambda d: SYMBOLS["trade_off"] * 0.5 * d.norm() ** 2,
    "EWC with ½, all importances 1": lambda d: SYMBOLS["lam"] / 2 * d.pow(2).sum(),
    "EWC without ½, all importances 1": lambda d: SYMBOLS["lam"] * d.pow(2).sum(),
    "mean squared displacement": lambda d: SYMBOLS["lam"] * nn.functional.mse_loss(d, torch.zeros_like(d)),
    "FedProx": lambda d: SYMBOLS["mu"] / 2 * d.norm() ** 2,
    "prior w ~ N(w⁰, 1/δ), loss the mean over N samples": lambda d: (
        -torch.distributions.Normal(torch.zeros_like(d), SYMBOLS["delta"] ** -0.5).log_prob(d).sum() / SYMBOLS["N"]
    ),
    "group lasso, weighted (Yuan and Lin 2006)": lambda d: SYMBOLS["lam"] * math.sqrt(5) * d.norm(dim=1).sum(),
    "group lasso, unweighted, groups of n": lambda d: SYMBOLS["lam"] * d.reshape(1, 15).norm(),
}


@pytest.mark.parametrize("convention", FORMULAS)
def test_a_formula_has_the_gradient_of_its_row(convention: str):
    delta = displacement().requires_grad_()
    (theirs,) = torch.autograd.grad(FORMULAS[convention](delta), delta)
    delta = delta.detach().reshape(1, 15) if "groups of n" in convention else delta.detach()
    ours = evaluated(table()[convention]).grad(delta).reshape_as(theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def torchs_decay() -> None:
    weight = nn.Parameter(displacement())
    start = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    torch.optim.SGD([weight], lr=1.0, weight_decay=SYMBOLS["weight_decay"]).step()
    ours = evaluated(table()["`weight_decay` of torch's SGD and Adam"]).grad(start)
    torch.testing.assert_close(start - weight.detach(), ours, rtol=1e-12, atol=0)


def adamws_decay() -> None:
    weight = nn.Parameter(displacement())
    start = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    torch.optim.AdamW([weight], lr=SYMBOLS["lr"], weight_decay=SYMBOLS["weight_decay"]).step()
    ours = evaluated(table()["decay of torch's AdamW, by prox"]).prox(start, SYMBOLS["lr"])
    torch.testing.assert_close(weight.detach(), ours, rtol=1e-12, atol=0)


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(40, 4, dtype=torch.float64), torch.randn(40, dtype=torch.float64)


def is_stationary(convention: str, loss: Objective, found: Any) -> None:
    weight = torch.from_numpy(np.asarray(found)).requires_grad_()
    total = loss(weight) + evaluated(table()[convention]).value(weight)
    (slope,) = torch.autograd.grad(total, weight)
    assert slope.abs().max() < 1e-8


def scipys_damping() -> None:
    x, y = data()
    found = lsqr(x.numpy(), y.numpy(), damp=SYMBOLS["damp"], atol=1e-15, btol=1e-15)[0]
    is_stationary("SciPy's `lsqr(damp)`, loss ‖Xw − y‖²", lambda w: (x @ w - y).square().sum(), found)


def scikits_ridge() -> None:
    x, y = data()
    found = Ridge(alpha=SYMBOLS["alpha"], fit_intercept=False).fit(x.numpy(), y.numpy()).coef_
    is_stationary("scikit-learn's `Ridge(alpha)`, loss ‖Xw − y‖²", lambda w: (x @ w - y).square().sum(), found)


def scikits_ridge_of_the_mean() -> None:
    x, y = data()
    found = Ridge(alpha=SYMBOLS["alpha"], fit_intercept=False).fit(x.numpy(), y.numpy()).coef_
    convention = "scikit-learn's `Ridge(alpha)`, loss mean (Xw − y)² over N"
    is_stationary(convention, lambda w: (x @ w - y).square().mean(), found)


PROGRAMS: dict[str, Callable[[], None]] = {
    "`weight_decay` of torch's SGD and Adam": torchs_decay,
    "decay of torch's AdamW, by prox": adamws_decay,
    "SciPy's `lsqr(damp)`, loss ‖Xw − y‖²": scipys_damping,
    "scikit-learn's `Ridge(alpha)`, loss ‖Xw − y‖²": scikits_ridge,
    "scikit-learn's `Ridge(alpha)`, loss mean (Xw − y)² over N": scikits_ridge_of_the_mean,
}


@pytest.mark.parametrize("convention", PROGRAMS)
def test_a_program_does_what_its_row_says(convention: str):
    PROGRAMS[convention]()


def test_every_row_is_checked():
    assert table().keys() == FORMULAS.keys() | PROGRAMS.keys()


def test_the_total_pull_is_one_minus_the_product():
    """L2(0.1) by prox under AdamW at 1e-3 with a gradient of 0: 150 steps, constant and by a cosine."""
    for shape in (lambda t: 1.0, lambda t: (1 + math.cos(math.pi * t / 150)) / 2):
        model = nn.Linear(4, 3, dtype=torch.float64)
        leash = Tether(model, Anchor.of(model), Plan(L2(0.1)))
        start = model.weight.detach().clone()
        model.weight.detach().add_(1.0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        leash.attach(optimizer)
        left = 1.0
        for _ in range(150):
            for p in model.parameters():
                p.grad = torch.zeros_like(p)
            left /= 1 + optimizer.param_groups[0]["lr"] * 0.1
            optimizer.step()
            scheduler.step()
        torch.testing.assert_close(model.weight.detach() - start, torch.full_like(start, left), rtol=1e-10, atol=0)
        if shape(75) == 1:
            assert 1 - left == pytest.approx(0.015, abs=1e-3)

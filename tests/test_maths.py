"""The conversion table of docs/maths.md: its expressions, evaluated as they stand, are the convention of their row.

So is what `tether.conversion.convert` says of it, in both directions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
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
from tether.conversion import CONVENTIONS, convert
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.stepsize import effective_step

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
    "momentum": 0.9,
    "gamma": 2.0,
}
ARGUMENTS = {"lr": "lr", "momentum": "momentum", "N": "samples", "n": "size"}
"""The page's symbols of what a conversion depends on, and the arguments of `convert`."""


@dataclass(frozen=True)
class Row:
    expression: str
    name: str
    needs: tuple[str, ...]

    @property
    def penalty(self) -> Penalty:
        found = eval(self.expression, {"L2": L2, "GroupLasso": GroupLasso}, dict(SYMBOLS))
        assert isinstance(found, Penalty)
        return found

    @property
    def symbols(self) -> set[str]:
        return set(compile(self.expression, self.name, "eval").co_names) - {"L2", "GroupLasso"}

    @property
    def value(self) -> float:
        (symbol,) = self.symbols - ARGUMENTS.keys()
        return SYMBOLS[symbol]

    @property
    def context(self) -> dict[str, Any]:
        return {ARGUMENTS[symbol]: SYMBOLS[symbol] for symbol in self.symbols & ARGUMENTS.keys()}


def table() -> dict[str, Row]:
    lines = PAGE.split("| convention |")[1].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in lines[: lines.index("")]]
    rows = {}
    for convention, _, expression, last in cells:
        name, *needs = last.replace("`", "").split(", ")
        rows[convention] = Row(expression.strip("`"), name, tuple(needs))
    return rows


def evaluated(convention: str) -> Penalty:
    return table()[convention].penalty


@pytest.mark.parametrize("row", table().values(), ids=lambda row: row.name)
def test_convert_says_what_the_expression_of_a_row_does(row: Row):
    strength = row.penalty.strength
    assert convert(row.value, row.name, **row.context) == pytest.approx(strength, rel=1e-15)
    assert convert(strength, "strength", row.name, **row.context) == pytest.approx(row.value, rel=1e-15)


@pytest.mark.parametrize("row", table().values(), ids=lambda row: row.name)
def test_a_row_says_what_its_convention_needs_and_is_of(row: Row):
    assert set(row.needs) == set(row.context) == set(CONVENTIONS[row.name].needs)
    assert CONVENTIONS[row.name].of == (type(row.penalty).__name__,)


def test_every_convention_is_a_row():
    assert sorted(row.name for row in table().values()) == sorted(CONVENTIONS.keys() - {"strength"})


def test_the_examples_of_the_page():
    assert '`convert(1e-4, "article", "weight_decay")` is 2e-4' in PAGE
    assert '`convert(0.1, "l2_sp_alpha", "prior_precision", samples=200)` is 20' in PAGE
    assert convert(1e-4, "article", "weight_decay") == 2e-4
    assert convert(0.1, "l2_sp_alpha", "prior_precision", samples=200) == 20


def displacement() -> Tensor:
    return torch.randn(3, 15 // 3, dtype=torch.float64)


Objective = Callable[[Tensor], Tensor]
Optimizing = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
FORMULAS: dict[str, Objective] = {
    "the article's formula": lambda d: SYMBOLS["lam"] * d.square().sum(),
    "L2-SP, on transferred weights (Li et al. 2018, eq. 4)": lambda d: SYMBOLS["alpha"] / 2 * d.norm() ** 2,
    "L2-SP, on new weights (Li et al. 2018, eq. 4)": lambda d: SYMBOLS["beta"] / 2 * d.norm() ** 2,
    "Transfer-Learning-Library's `SPRegularization`": lambda d: SYMBOLS["trade_off"] * 0.5 * d.norm() ** 2,
    "EWC with ½, all importances 1 (Kirkpatrick et al. 2017, eq. 3)": lambda d: SYMBOLS["lam"] / 2 * d.pow(2).sum(),
    "EWC without ½, as Avalanche's `ewc_lambda`, all importances 1": lambda d: (
        SYMBOLS["lam"] * (torch.ones_like(d) * d.pow(2)).sum()
    ),
    "Frobenius penalty in MARS's code (Gouk et al. 2021)": lambda d: SYMBOLS["lam"] * d.pow(2.0).sum(),
    "mean squared displacement": lambda d: SYMBOLS["lam"] * nn.functional.mse_loss(d, torch.zeros_like(d)),
    "FedProx (Li et al. 2020, eq. 2)": lambda d: SYMBOLS["mu"] / 2 * d.norm() ** 2,
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
    ours = evaluated(convention).grad(delta).reshape_as(theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def torchs_decay() -> None:
    weight = nn.Parameter(displacement())
    start = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    torch.optim.SGD([weight], lr=1.0, weight_decay=SYMBOLS["weight_decay"]).step()
    ours = evaluated("`weight_decay` of torch's SGD and Adam").grad(start)
    torch.testing.assert_close(start - weight.detach(), ours, rtol=1e-12, atol=0)


def decayed(theirs: Optimizing, plain: Optimizing, convention: str) -> None:
    """A decay with a gradient of 0 is the prox, by the step that a tether takes of the plain optimiser."""
    weight = nn.Parameter(displacement())
    start = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    theirs([weight]).step()
    optimizer = plain([weight])
    ours = evaluated(convention).prox(start, effective_step(optimizer)(optimizer.param_groups[0]))
    torch.testing.assert_close(weight.detach(), ours, rtol=1e-12, atol=0)


def adamws_decay() -> None:
    lr, decay = SYMBOLS["lr"], SYMBOLS["weight_decay"]
    decayed(
        lambda weights: torch.optim.AdamW(weights, lr=lr, weight_decay=decay),
        lambda weights: torch.optim.Adam(weights, lr=lr),
        "decay of torch's AdamW, by prox",
    )


def timms_decay() -> None:
    timm = pytest.importorskip("timm.optim", reason="needs the extra `vision`")
    lr, momentum, decay = SYMBOLS["lr"], SYMBOLS["momentum"], SYMBOLS["weight_decay"]
    decayed(
        lambda weights: timm.SGDW(weights, lr=lr, momentum=momentum, weight_decay=decay),
        lambda weights: torch.optim.SGD(weights, lr=lr, momentum=momentum),
        "decay of timm's SGDW, by prox",
    )


def recadams_recall() -> None:
    """The paper takes a plain gradient step on γ/2‖w − w⁰‖², beside Adam's moments."""
    weight = nn.Parameter(displacement())
    start, source = weight.detach().clone(), displacement()
    (SYMBOLS["gamma"] / 2 * (weight - source).square().sum()).backward()
    torch.optim.SGD([weight], lr=SYMBOLS["lr"]).step()
    convention = "RecAdam's γ under Adam, before its annealing, by prox (Chen et al. 2020)"
    ours = source + evaluated(convention).prox(start - source, SYMBOLS["lr"])
    torch.testing.assert_close(weight.detach(), ours, rtol=1e-12, atol=1e-15)


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(40, 4, dtype=torch.float64), torch.randn(40, dtype=torch.float64)


def is_stationary(convention: str, loss: Objective, found: Any) -> None:
    weight = torch.from_numpy(np.asarray(found)).requires_grad_()
    total = loss(weight) + evaluated(convention).value(weight)
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
    "decay of timm's SGDW, by prox": timms_decay,
    "RecAdam's γ under Adam, before its annealing, by prox (Chen et al. 2020)": recadams_recall,
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

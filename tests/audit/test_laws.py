"""The laws hold of every penalty of the family, and an error of one per cent in any of them is found."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.audit.laws import displacement, gradient_error, laws, prox_error
from tether.held import Held
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.views import Heads
from tether.penalties.weighted import Weighted

IMPORTANCE = torch.rand(8, 6, generator=torch.Generator().manual_seed(2))
PENALTIES = [
    *(kind(strength) for kind in (L1, L2, GroupLasso) for strength in (1e-4, 0.1, 100.0)),
    *(GroupLasso(0.1, view) for view in ("channels", "layers", Heads(4))),
    Weighted(3.0, IMPORTANCE),
    L2(0.1) + L1(0.01),
    L1(0.01) + GroupLasso(0.1) + FrobeniusBall(0.5),
    FrobeniusBall(0.5),
    FrobeniusBall(1e4),
    MarsBall(8.0),
    Frozen(),
]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def held(penalty: Penalty, weight: Tensor | None = None) -> Held:
    weight = torch.randn(8, 6) if weight is None else weight
    return Held("weight", "new", nn.Parameter(weight), penalty.toward("zero"), None)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_every_penalty_passes(penalty: Penalty) -> None:
    rows = list(laws(held(penalty), "prox", generator()))
    assert [row.check for row in rows if not row.passed] == []
    assert len(rows) == (3 if penalty.coupled else 2)


@dataclass(frozen=True)
class Off(Penalty):
    """A penalty with one of its answers off by a factor."""

    penalty: Penalty
    grad_by: float = 1.0
    step_by: float = 1.0

    def value(self, delta: Tensor) -> Tensor:
        return self.penalty.value(delta)

    def grad(self, delta: Tensor) -> Tensor:
        return self.grad_by * self.penalty.grad(delta)

    def prox(self, delta: Tensor, step: float | Tensor) -> Tensor:
        return self.penalty.prox(delta, step * self.step_by)

    def scaled(self, factor: float) -> Penalty:
        return self

    @property
    def null(self) -> bool:
        return False


@pytest.mark.parametrize("penalty", [L2(0.1), L1(0.1), GroupLasso(0.1), Weighted(1.0, IMPORTANCE)], ids=repr)
@pytest.mark.parametrize("off", [0.0, 0.99, 1.01, 2.0, -1.0])
def test_an_error_of_a_factor_is_found(penalty: Penalty, off: float) -> None:
    failing = [row.check for row in laws(held(Off(penalty, grad_by=off)), "prox", generator()) if not row.passed]
    assert failing == ["gradient is the value's"]


@pytest.mark.parametrize("penalty", [L2(0.1), L1(0.1), GroupLasso(0.1), Weighted(1.0, IMPORTANCE)], ids=repr)
@pytest.mark.parametrize("off", [0.0, 0.5, 2.0])
def test_a_prox_of_another_step_is_found(penalty: Penalty, off: float) -> None:
    failing = [row.check for row in laws(held(Off(penalty, step_by=off)), "prox", generator()) if not row.passed]
    assert failing == ["prox is the value's"]


def test_the_error_of_a_gradient_is_its_share() -> None:
    delta = displacement(held(L2(1.0)), generator())
    assert gradient_error(held(L2(1.0)), delta, generator()) < 1e-8
    assert gradient_error(held(Off(L2(1.0), grad_by=0.5)), delta, generator()) == pytest.approx(0.5, rel=1e-6)


def test_a_prox_outside_its_own_constraint_is_infinitely_off() -> None:
    part = held(FrobeniusBall(0.5))
    assert prox_error(part, displacement(part, generator())) == 0
    outside = held(Off(FrobeniusBall(0.5)))
    object.__setattr__(outside.penalty, "prox", lambda delta, step: delta)
    assert prox_error(outside, displacement(part, generator())) == float("inf")


def weights() -> Iterator[Any]:
    yield pytest.param(torch.randn(8, 6), id="trained")
    yield pytest.param(torch.zeros(8, 6), id="zero")
    yield pytest.param(torch.zeros(3), id="a bias of zeros")
    yield pytest.param(torch.tensor(2.0), id="scalar")
    yield pytest.param(1e-3 * torch.randn(4).bfloat16(), id="bfloat16")


@pytest.mark.parametrize("weight", list(weights()))
@pytest.mark.parametrize("penalty", [L2(0.1), L1(0.1), FrobeniusBall(100.0), Frozen()], ids=repr)
def test_a_displacement_shows_any_pull(penalty: Penalty, weight: Tensor) -> None:
    delta = displacement(held(penalty, weight), generator())
    assert delta.shape == weight.shape
    assert delta.dtype == torch.float64
    assert delta.isfinite().all() and (delta != 0).all()
    assert not torch.equal(penalty.prox(delta, 1e-3), delta)

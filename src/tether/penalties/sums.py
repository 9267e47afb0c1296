"""Sums of penalties, and the proximal maps of those sums that have one."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from tether.errors import NoClosedForm, PlanError
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2

# The prox of lasso + group lasso is the group's prox after the lasso's (Yu, 2013).
ORDER: tuple[type[Penalty], ...] = (L2, L1, GroupLasso)


@dataclass(frozen=True, repr=False)
class Sum(Penalty):
    """Ω₁ + Ω₂ + …, at most one of each class; made by `+`, which merges strengths.

    >>> L1(0.1) + L2(1.0) + 2 * L1(0.1)
    L2(1.0) + L1(0.30000000000000004)
    """

    terms: tuple[Penalty, ...]

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        """Whether every term is."""
        return all(term.elementwise for term in self.terms)

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """Ω₁(δ) + Ω₂(δ) + …."""
        first, *rest = [term.value(delta) for term in self.terms]
        return sum(rest, first)

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """∇Ω₁(δ) + ∇Ω₂(δ) + …."""
        first, *rest = [term.grad(delta) for term in self.terms]
        return sum(rest, first)

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """Shrink by the L2 term, then each other term's prox with the step divided by 1 + step·λ.

        With c = 1 + step·λ: step·(λ/2‖x‖² + Ω(x)) + ½‖x − δ‖² = c·(step/c·Ω(x) + ½‖x − δ/c‖²) + constant.

        Raises:
            NoClosedForm: a term has no place in such a chain.

        """
        for term in self.terms:
            if not isinstance(term, ORDER):
                raise NoClosedForm(
                    f"`{self!r}` has no proximal map in closed form",
                    why="those that have one are sums of L2, L1 and GroupLasso",
                    fix='via="gradient", or a sum of those',
                )
        shrink = 1 + step * sum(term.strength for term in self.terms if isinstance(term, L2))
        delta = delta / shrink
        for term in self.terms:
            if not isinstance(term, L2):
                delta = term.prox(delta, step / shrink)
        return delta

    def scaled(self, factor: float) -> "Sum":
        """Every term scaled."""
        return Sum(tuple(term.scaled(factor) for term in self.terms))

    @property
    def null(self) -> bool:
        """All terms are."""
        return all(term.null for term in self.terms)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


def add(left: Penalty, right: Penalty) -> Penalty:
    """Left + right, with strengths of one class merged and the terms in a fixed order.

    Raises:
        PlanError: one of them is a constraint, to which nothing can be added.

    """
    terms = [*_terms(left), *_terms(right)]
    for term in terms:
        if not term.coupled:
            raise PlanError(f"`{term!r}` leaves nothing to add to: {left!r} + {right!r}")
    merged: dict[type[Penalty], Any] = {}
    for term in terms:
        kind = type(term)
        merged[kind] = kind(merged[kind].strength + term.strength) if kind in merged else term  # type: ignore[call-arg, attr-defined]
    ordered = sorted(merged.values(), key=lambda term: ORDER.index(type(term)) if type(term) in ORDER else len(ORDER))
    return ordered[0] if len(ordered) == 1 else Sum(tuple(ordered))


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.terms if isinstance(penalty, Sum) else (penalty,)

"""Sums of penalties, and the proximal maps of those sums that have one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from tether.errors import NoClosedForm, PlanError
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.views import Heads, nested
from tether.penalties.weighted import Weighted

# From the finest groups to the coarsest: so ordered, the prox of a sum is the prox of its terms one after another
# (Yu, 2013; Jenatton et al., 2011, for groups within groups).
ORDER: tuple[type[Penalty], ...] = (L2, Weighted, L1, GroupLasso, MarsBall, FrobeniusBall)
CLOSED = (
    "those that have one are sums of L2, Weighted and L1; of L2 and one other; of L2, L1, GroupLassos whose groups lie "
    "within one another, and a FrobeniusBall; and of L2, L1 and a MarsBall"
)


@dataclass(frozen=True, repr=False)
class Sum(Penalty):
    """Ω₁ + Ω₂ + …; made by `+`, which merges the strengths of equal kinds.

    >>> L1(0.1) + L2(1.0) + 2 * L1(0.1)
    L2(1.0) + L1(0.30000000000000004)
    """

    terms: tuple[Penalty, ...]

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        """Whether every term is."""
        return all(term.elementwise for term in self.terms)

    @property
    def coupled(self) -> bool:  # type: ignore[override]
        """Whether every term has a gradient."""
        return all(term.coupled for term in self.terms)

    @property
    def pulling(self) -> Penalty | None:
        """The terms that have a strength."""
        strong = tuple(term for term in self.terms if term.coupled)
        return Sum(strong) if strong else None

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """Ω₁(δ) + Ω₂(δ) + …."""
        first, *rest = [term.value(delta) for term in self.terms]
        return sum(rest, first)

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """∇Ω₁(δ) + ∇Ω₂(δ) + …."""
        first, *rest = [term.grad(delta) for term in self.terms]
        return sum(rest, first)

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """Shrink by the quadratic terms, then each other term's prox with the step divided by the shrink.

        With c = 1 + step·λ: step·(λ/2‖x‖² + Ω(x)) + ½‖x − δ‖² = c·(step/c·Ω(x) + ½‖x − δ/c‖²) + constant.

        Raises:
            NoClosedForm: the terms have no common proximal map; the message says which sums have.

        """
        self.refuse_unless_closed()
        shrink: float | Tensor = 1 + step * sum(term.strength for term in self.terms if isinstance(term, L2))
        for term in self.terms:
            if isinstance(term, Weighted):
                shrink = shrink + (term.shrink(delta, step) - 1)
        delta = delta / shrink
        for term in self.terms:
            if not _quadratic(term):
                delta = term.prox(delta, step / shrink)
        return delta

    def refuse_unless_closed(self) -> None:
        """Raise where the sum has no proximal map in closed form.

        Raises:
            NoClosedForm: it has none.

        """
        if not _closed(self.terms):
            raise NoClosedForm(
                f"`{self!r}` has no proximal map in closed form",
                why=CLOSED,
                fix='via="gradient", or one of those sums' if self.coupled else "one of those sums",
            )

    def scaled(self, factor: float) -> "Sum":
        """Every term scaled."""
        return Sum(tuple(term.scaled(factor) for term in self.terms))

    @property
    def null(self) -> bool:
        """All terms are."""
        return all(term.null for term in self.terms)

    def on(self, name: str, weight: Float[Tensor, "*shape"], rows: Int[Tensor, " rows"] | None = None) -> "Sum":
        """Every term as it is on that parameter."""
        return Sum(tuple(term.on(name, weight, rows) for term in self.terms))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


def add(left: Penalty, right: Penalty) -> Penalty:
    """Left + right, with the strengths of equal kinds merged and the terms in a fixed order.

    Raises:
        PlanError: one of them is `Frozen`, to which nothing can be added.

    """
    merged: list[Penalty] = []
    for term in (*_terms(left), *_terms(right)):
        if isinstance(term, Frozen):
            raise PlanError(
                f"`{term!r}` leaves nothing to add to: {left!r} + {right!r}",
                why="what may not move at all is not pulled either",
                fix=f"`{term!r}` alone, or the other without it",
            )
        for i, other in enumerate(merged):
            if (whole := _merge(other, term)) is not None:
                merged[i] = whole
                break
        else:
            merged.append(term)
    ordered = sorted(merged, key=_place)
    return ordered[0] if len(ordered) == 1 else Sum(tuple(ordered))


def _merge(one: Penalty, other: Penalty) -> Penalty | None:
    """One penalty for two that differ in strength alone."""
    if type(one) is not type(other) or not hasattr(one, "strength"):
        return one if one == other else None
    a: Any = one
    b: Any = other
    return replace(a, strength=a.strength + b.strength) if replace(b, strength=a.strength) == a else None


def _place(term: Penalty) -> tuple[int, int]:
    kind = next((place for place, kind in enumerate(ORDER) if isinstance(term, kind)), len(ORDER))
    view = getattr(term, "view", None)
    return kind, 1 if isinstance(view, Heads) else 2 if view == "layers" else 0


def _quadratic(term: Penalty) -> bool:
    return isinstance(term, L2 | Weighted)


def _closed(terms: Sequence[Penalty]) -> bool:
    rough = [term for term in terms if not _quadratic(term)]
    if any(isinstance(term, Weighted) for term in terms):
        return all(isinstance(term, L1) for term in rough)
    return len(rough) < 2 or all(_follows(a, b) for i, a in enumerate(rough) for b in rough[i + 1 :])


def _follows(fine: Penalty, coarse: Penalty) -> bool:
    """Whether the prox of both is that of `coarse` after that of `fine`."""
    match fine, coarse:
        case L1(), GroupLasso() | MarsBall() | FrobeniusBall():
            return True
        case GroupLasso(view=inner), GroupLasso(view=outer):
            return nested(inner, outer)
        case GroupLasso(), FrobeniusBall():
            return True
    return False


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.terms if isinstance(penalty, Sum) else (penalty,)

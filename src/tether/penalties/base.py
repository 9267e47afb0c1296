"""Penalty: what every Ω(δ) can do, alone and over a model's tensors in place."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tether.errors import PlanError
from tether.penalties.schedule import CONSTANT, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tether.penalties.pull import Pull, Reference


class Penalty(ABC):
    """A convex penalty of the displacement δ, zero at δ = 0.

    A member of the family is a frozen dataclass. `value`, `grad` and `prox` take one displacement tensor;
    `add_gradient_` and `prox_` act in place on lists of weights, and a member overrides them where that saves memory.
    """

    elementwise: ClassVar[bool] = True
    """Whether each value has a penalty of its own; then `prox` takes a step for each value too."""
    coupled: ClassVar[bool] = True
    """Whether it has a gradient to add; a constraint has only a projection."""

    @abstractmethod
    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """Ω(δ)."""

    @abstractmethod
    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """∇Ω(δ), and where there is a kink the subgradient of least norm."""

    @abstractmethod
    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """Argmin over x of step·Ω(x) + ½‖x − δ‖²."""

    @abstractmethod
    def scaled(self, factor: float) -> "Penalty":
        """Factor · Ω."""

    @property
    @abstractmethod
    def null(self) -> bool:
        """Whether it is zero everywhere."""

    @property
    def pulling(self) -> "Penalty | None":
        """What of it has a strength: all of it, or of a constraint nothing."""
        return self if self.coupled else None

    def add_gradient_(
        self,
        grads: Sequence[Tensor],
        weights: Sequence[Tensor],
        references: Sequence[Tensor] | None,
        scale: float | Tensor = 1.0,
    ) -> None:
        """Grads += scale · ∇Ω(weights − references); no references means zero."""
        for i, (g, w) in enumerate(zip(grads, weights, strict=True)):
            delta = w if references is None else w - references[i]
            g.add_(self.grad(delta) * scale)

    def prox_(self, weights: Sequence[Tensor], references: Sequence[Tensor] | None, step: float | Tensor) -> None:
        """Weights ← references + prox(weights − references); a step tensor that is 0 changes no bit."""
        for i, w in enumerate(weights):
            moved = self.prox(w, step) if references is None else references[i] + self.prox(w - references[i], step)
            w.copy_(torch.where(step > 0, moved, w) if isinstance(step, Tensor) else moved)

    def relative_pull(self, weight: Float[Tensor, "*shape"], step: float) -> float:
        """The median share by which a prox step shrinks a displacement as large as the weight.

        A tensor that is all zero, as a new head may be, is measured at the size it is likely to reach, fan-in^(−½).
        """
        delta = weight.detach().double()
        if not delta.any():
            delta = torch.full_like(delta, (delta[0].numel() if delta.ndim > 1 else max(1, delta.numel())) ** -0.5)
        there = delta != 0
        moved = (delta - self.prox(delta, step))[there] / delta[there]
        return float(moved.median()) if moved.numel() else math.inf

    def on(self, name: str, weight: Float[Tensor, "*shape"], rows: Int[Tensor, " rows"] | None = None) -> "Penalty":
        """The penalty as it is on one parameter, or on some of its rows: itself, unless it differs by parameter.

        Raises:
            PlanError: it does not fit that parameter.

        """
        return self

    def toward(self, reference: "Reference | Mapping[str, Tensor]", schedule: Schedule | None = None) -> "Pull":
        """Say what the displacement is measured from, and how the strength changes: see `Pull`."""
        from tether.penalties.pull import Pull

        return Pull(self, reference, schedule or CONSTANT)  # type: ignore[arg-type]

    def __add__(self, other: "Penalty") -> "Penalty":
        from tether.penalties.sums import add

        return add(self, other) if isinstance(other, Penalty) else NotImplemented

    def __mul__(self, factor: float) -> "Penalty":
        return self.scaled(float(factor)) if isinstance(factor, int | float) else NotImplemented

    __rmul__ = __mul__


def checked_strength(name: str, strength: float) -> float:
    """Refuse a strength that is negative or not finite.

    Raises:
        PlanError: it is.

    """
    if not (isinstance(strength, int | float) and math.isfinite(strength) and strength >= 0):
        raise PlanError(
            f"`{name}({strength!r})`: a strength is a finite number, 0 or more",
            why="a strength below 0 would push away from the reference",
            fix=f"{name}(0.01), or None for no penalty",
        )
    return float(strength)

"""Measured: the pull on one part as it was delivered, beside what the plan says in float64."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from tether.held import Held

ULPS = 4
"""Roundings of the largest operand that a sum or a prox may differ by from its value in float64."""
FREE = 1e-3
MOST_FREE = 0.5
"""The share of a pull that rounding may take or add: one part in a thousand, and half where rounding is that coarse."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A pull as expected and as measured.

    Args:
        expected, measured: ‖pull‖.
        share: how much of the expected pull there is in the measured one, their product over the expected square.
        free: by how much the share may differ from 1.
        within: whether every value is where the plan puts it, up to rounding.

    """

    part: Held
    expected: float
    measured: float
    share: float
    free: float
    within: bool
    dtype: torch.dtype

    @classmethod
    def of(
        cls,
        part: Held,
        expected: Float64[Tensor, "*shape"],
        measured: Float64[Tensor, "*shape"],
        operands: Float64[Tensor, "*shape"],
        dtype: torch.dtype,
    ) -> "Measured":
        """Compare value for value; `operands` are the sizes of what was added, whose roundings are no fault."""
        rounding = ULPS * torch.finfo(dtype).eps * operands
        square = float(expected.square().sum())
        free = float((rounding * expected).norm()) / square if square else 0.0
        return cls(
            part=part,
            expected=square**0.5,
            measured=float(measured.norm()),
            share=float((expected * measured).sum()) / square if square else 0.0,
            free=min(MOST_FREE, FREE + free),
            within=bool(((measured - expected).abs() <= rounding).all()),
            dtype=dtype,
        )

    @classmethod
    def of_gradient(cls, part: Held, expected: Float64[Tensor, "*shape"], before: Tensor, after: Tensor) -> "Measured":
        """Compare what came to the gradient of a whole parameter."""
        first, last = part.of_rows(before).double(), part.of_rows(after).double()
        return cls.of(part, expected, last - first, first.abs() + expected.abs(), after.dtype)

    @property
    def passed(self) -> bool:
        """Whether what arrived is what was expected, up to rounding."""
        return self.within and abs(self.share - 1) <= self.free

    @property
    def fault(self) -> str:
        """What is wrong where it is not."""
        if self.within:
            return f"the pull rounds away in {self.dtype}: keep it in float32, or raise the strength or the rate"
        if self.measured == 0:
            return "nothing arrives, though the tether is attached"
        return "something else acts on these weights in the same step: another penalty, or a hook of the optimiser"


def gradient_pull(part: Held, factor: float) -> Float64[Tensor, "*shape"]:
    """Factor · ∇Ω(w − reference) in float64, at the weights as they are."""
    delta = part.weight().double() - reference(part)
    return factor * part.penalty.grad(delta).double()


def prox_pull(part: Held, plain: Float[Tensor, "*shape"], step: Float64[Tensor, "..."]) -> Float64[Tensor, "*shape"]:
    """How far the prox of step · Ω moves `plain`, in float64."""
    delta = plain.double() - reference(part)
    size: float | Tensor = step if step.ndim else float(step)
    return part.penalty.prox(delta, size).double() - delta


def reference(part: Held) -> Float64[Tensor, "*shape"]:
    """What the part is held to, in float64; zeros where that is zero."""
    found = part.aligned()
    return torch.zeros_like(part.weight(), dtype=torch.float64) if found is None else found.double()

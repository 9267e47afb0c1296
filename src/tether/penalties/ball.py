"""Balls: a displacement that may not be longer than a radius, by projection after each step."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tether.errors import PlanError
from tether.penalties.base import Penalty


class Ball(Penalty):
    """The constraint ‖δ‖ ≤ radius in some norm, of each tensor by itself: 0 within the ball, ∞ outside."""

    elementwise: ClassVar[bool] = False
    coupled: ClassVar[bool] = False

    radius: float

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """0 or ∞; what rounding adds to a projected displacement, up to √ε of the radius, is not outside."""
        limit = self.radius * (1 + math.sqrt(torch.finfo(delta.dtype).eps))
        return torch.where(self.norm(delta) > limit, torch.inf, 0.0).to(delta)

    @abstractmethod
    def norm(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """‖δ‖."""

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """A constraint has none.

        Raises:
            PlanError: always.

        """
        raise PlanError(
            f"`{self!r}` is a constraint and has no gradient",
            why="its value is 0 within and infinite outside, so it is projected onto after the step",
            fix='act by `via="prox"`',
        )

    def scaled(self, factor: float) -> "Ball":
        """A constraint has no strength to scale."""
        return self

    @property
    def null(self) -> bool:
        """Never."""
        return False

    def on(self, name: str, weight: Float[Tensor, "*shape"], rows: Int[Tensor, " rows"] | None = None) -> "Ball":
        """Itself.

        Raises:
            PlanError: only some rows of the parameter are meant.

        """
        if rows is not None:
            raise PlanError(
                f"`{self!r}` cannot hold `{name}`, which is partly new",
                why="its ball would be around rows of the source and new rows together",
                fix=f"overrides={{{name!r}: L2(…)}} or None",
            )
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.radius!r})"


@dataclass(frozen=True, repr=False)
class FrobeniusBall(Ball):
    r"""The constraint $\lVert\delta\rVert_F\le r$; its prox is the projection $\delta\min(1, r/\lVert\delta\rVert_F)$.

    Of each tensor by itself (Gouk, Hospedales and Pontil, 2021, ℓ²-PGM).

    Raises:
        PlanError: the radius is not positive and finite.

    >>> import torch
    >>> FrobeniusBall(2.5).prox(torch.tensor([3.0, 4.0]), step=0.1)
    tensor([1.5000, 2.0000])

    """

    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", _checked("FrobeniusBall", self.radius))

    def norm(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """‖δ‖_F."""
        norm: Tensor = torch.linalg.vector_norm(delta)
        return norm

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """The nearest displacement in the ball, whatever the step."""
        norm = self.norm(delta)
        return torch.where(norm > self.radius, delta * (self.radius / norm), delta)


@dataclass(frozen=True, repr=False)
class MarsBall(Ball):
    r"""The constraint $\max_i\sum_j|\delta_{ij}|\le r$ on the maximum absolute row sum, the MARS norm.

    A row is a slice along the first axis, one filter or one neuron; in a bias, each value is a row (Gouk, Hospedales
    and Pontil, 2021). The projection is onto the ℓ¹ ball of each row (Duchi et al., 2008, fig. 1), the nearest
    displacement that is allowed. The authors' code shrinks a long row by a factor instead, which is allowed too but
    farther off.

    Raises:
        PlanError: the radius is not positive and finite.

    >>> import torch
    >>> MarsBall(1.0).prox(torch.tensor([[1.5, 0.75], [0.25, -0.25]]), step=0.1)
    tensor([[ 0.8750,  0.1250],
            [ 0.2500, -0.2500]])

    """

    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", _checked("MarsBall", self.radius))

    def norm(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """max_i Σ_j |δ_ij|."""
        return _rows(delta).abs().sum(dim=1).amax()

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """Soft threshold of each row by what brings its sum down to the radius."""
        sizes = _rows(delta).abs()
        ordered = sizes.sort(dim=1, descending=True).values
        excess = ordered.cumsum(dim=1) - self.radius
        count = torch.arange(1, sizes.shape[1] + 1, device=delta.device)
        last = (ordered * count > excess).sum(dim=1, keepdim=True).clamp_min(1)  # how many of a row stay above zero
        threshold = excess.gather(1, last - 1) / last
        shrunk = (sizes - threshold.clamp_min(0)).clamp_min(0)
        return (shrunk * _rows(delta).sign()).reshape(delta.shape)


def _checked(name: str, radius: float) -> float:
    if isinstance(radius, bool) or not (isinstance(radius, int | float) and math.isfinite(radius) and radius > 0):
        raise PlanError(
            f"`{name}({radius!r})`: a radius is a finite number above 0",
            why="it is how far a weight may move",
            fix="a number such as 0.1, or Frozen() for no movement",
        )
    return float(radius)


def _rows(delta: Tensor) -> Tensor:
    return delta.reshape(delta.shape[0], -1) if delta.ndim > 1 else delta.reshape(-1, 1)

"""L1: the sum of absolute displacements; its prox leaves most weights exactly at the reference."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from tether.penalties.base import Penalty, checked_strength


@dataclass(frozen=True, repr=False)
class L1(Penalty):
    r"""Sparse displacement, $\lambda\lVert\delta\rVert_1$ (Tibshirani, 1996; Li et al., 2018, eq. 6).

    Raises:
        PlanError: the strength is negative or not finite.

    >>> import torch
    >>> L1(1.0).prox(torch.tensor([0.3, -2.0]), step=0.5)
    tensor([ 0.0000, -1.5000])

    """

    strength: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", checked_strength("L1", self.strength))

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """λ Σ|δᵢ|."""
        return self.strength * delta.abs().sum()

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ sign(δ), 0 at δᵢ = 0."""
        return self.strength * delta.sign()

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """Soft threshold: sign(δ) · max(|δ| − step·λ, 0)."""
        return delta.sign() * (delta.abs() - step * self.strength).clamp_min(0)

    def scaled(self, factor: float) -> "L1":
        """L1(factor · λ)."""
        return L1(factor * self.strength)

    @property
    def null(self) -> bool:
        """λ = 0."""
        return self.strength == 0

    def __repr__(self) -> str:
        return f"L1({self.strength!r})"

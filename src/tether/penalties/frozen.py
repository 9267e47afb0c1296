"""Frozen: no displacement at all, the limit of an infinite strength."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from tether.errors import PlanError
from tether.penalties.base import Penalty


@dataclass(frozen=True, repr=False)
class Frozen(Penalty):
    r"""The constraint δ = 0: $\Omega(\delta)=0$ where δ = 0, else ∞; its prox is the projection onto 0.

    >>> import torch
    >>> Frozen().prox(torch.ones(2), step=0.1)
    tensor([0., 0.])
    """

    coupled: ClassVar[bool] = False

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """0 or ∞."""
        return torch.where((delta != 0).any(), torch.inf, 0.0).to(delta)

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """A constraint has none.

        Raises:
            PlanError: always.

        """
        raise PlanError(
            "`Frozen()` is a constraint and has no gradient",
            why="its value is 0 at the reference and infinite elsewhere, so it is projected onto after the step",
            fix='act by `via="prox"`',
        )

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """0."""
        return torch.zeros_like(delta)

    def scaled(self, factor: float) -> "Frozen":
        """A constraint has no strength to scale."""
        return self

    @property
    def null(self) -> bool:
        """Never."""
        return False

    def __repr__(self) -> str:
        return "Frozen()"

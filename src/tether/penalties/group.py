"""GroupLasso: whole filters stay at the reference or move together."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from tether.penalties.base import Penalty, checked_strength


@dataclass(frozen=True, repr=False)
class GroupLasso(Penalty):
    r"""Group-sparse displacement, $\lambda\sum_g\sqrt{n_g}\,\lVert\delta_g\rVert_2$ (Yuan and Lin, 2006, eq. 2.1).

    A group is a slice along the first axis, which is one filter of a convolution or one output of a linear layer; in a
    bias each value is a group of its own, and $n_g$ is the number of values in the group.

    Raises:
        PlanError: the strength is negative or not finite.

    >>> import torch
    >>> GroupLasso(1.0).value(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor(7.0711)

    """

    elementwise: ClassVar[bool] = False

    strength: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", checked_strength("GroupLasso", self.strength))

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """λ Σ √n ‖δ_g‖."""
        groups = _groups(delta)
        weight: float = groups.shape[1] ** 0.5
        total: Tensor = torch.linalg.vector_norm(groups, dim=1).sum()
        return self.strength * weight * total

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ √n δ_g/‖δ_g‖, 0 where the group is at the reference."""
        groups = _groups(delta)
        norms = torch.linalg.vector_norm(groups, dim=1, keepdim=True)
        unit = torch.where(norms > 0, groups / norms, 0)
        weight: float = groups.shape[1] ** 0.5
        return (self.strength * weight * unit).reshape(delta.shape)

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """Block soft threshold: δ_g · max(1 − step·λ·√n/‖δ_g‖, 0)."""
        groups = _groups(delta)
        norms = torch.linalg.vector_norm(groups, dim=1, keepdim=True)
        threshold = step * self.strength * groups.shape[1] ** 0.5
        return torch.where(norms > threshold, groups * (1 - threshold / norms), 0).reshape(delta.shape)

    def scaled(self, factor: float) -> "GroupLasso":
        """GroupLasso(factor · λ)."""
        return GroupLasso(factor * self.strength)

    @property
    def null(self) -> bool:
        """λ = 0."""
        return self.strength == 0

    def __repr__(self) -> str:
        return f"GroupLasso({self.strength!r})"


def _groups(delta: Tensor) -> Tensor:
    return delta.reshape(delta.shape[0], -1) if delta.ndim else delta.reshape(1, 1)

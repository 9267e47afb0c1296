"""GroupLasso: whole groups of weights stay at the reference or move together."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tether.errors import PlanError
from tether.penalties.base import Penalty, checked_strength
from tether.penalties.views import View, checked, fits, join, split


@dataclass(frozen=True, repr=False)
class GroupLasso(Penalty):
    r"""Group-sparse displacement, $\lambda\sum_g\sqrt{n_g}\,\lVert\delta_g\rVert_2$ (Yuan and Lin, 2006, eq. 2.1).

    $n_g$ is the number of values in a group, and the groups are what the view says: `filters` of a convolution and
    `neurons` of a linear layer are slices along the first axis (Alvarez and Salzmann, 2016), `channels` along the
    second (Wen et al., 2016), `Heads(count)` blocks of an attention layer, `layers` whole tensors.

    Raises:
        PlanError: the strength is negative or not finite, or there is no such view.

    >>> import torch
    >>> delta = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    >>> GroupLasso(1.0).value(delta), GroupLasso(1.0, "layers").value(delta)
    (tensor(7.0711), tensor(10.))

    """

    elementwise: ClassVar[bool] = False

    strength: float
    view: View = "filters"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", checked_strength("GroupLasso", self.strength))
        checked(self.view)

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """λ Σ √n ‖δ_g‖."""
        groups = split(self.view, delta)
        total: Tensor = torch.linalg.vector_norm(groups, dim=1).sum()
        return self.strength * _weight(groups) * total

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ √n δ_g/‖δ_g‖, 0 where the group is at the reference."""
        groups = split(self.view, delta)
        norms = torch.linalg.vector_norm(groups, dim=1, keepdim=True)
        unit = torch.where(norms > 0, groups / norms, 0)
        return join(self.view, self.strength * _weight(groups) * unit, delta.shape)

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """Block soft threshold: δ_g · max(1 − step·λ·√n/‖δ_g‖, 0)."""
        groups = split(self.view, delta)
        norms = torch.linalg.vector_norm(groups, dim=1, keepdim=True)
        threshold = step * self.strength * _weight(groups)
        kept = torch.where(norms > threshold, groups * (1 - threshold / norms), 0)
        return join(self.view, kept, delta.shape)

    def scaled(self, factor: float) -> "GroupLasso":
        """GroupLasso(factor · λ)."""
        return GroupLasso(factor * self.strength, self.view)

    @property
    def null(self) -> bool:
        """λ = 0."""
        return self.strength == 0

    def on(self, name: str, weight: Float[Tensor, "*shape"], rows: Int[Tensor, " rows"] | None = None) -> "GroupLasso":
        """Itself.

        Raises:
            PlanError: the tensor cannot be cut into such groups, or only some of its rows are meant.

        """
        if rows is not None:
            raise PlanError(
                f"`{self!r}` cannot hold `{name}`, which is partly new",
                why="a group would hold rows of the source and new rows together",
                fix=f"overrides={{{name!r}: L2(…)}} or None",
            )
        if not fits(self.view, tuple(weight.shape)):
            raise PlanError(
                f"`{self!r}` cannot cut `{name}` of {tuple(weight.shape)} into {self.view}",
                why="each value of a weight must be in one group, of the same size as the others",
                fix=f"a penalty of its own for it: overrides={{{name!r}: GroupLasso({self.strength})}} or None",
            )
        return self

    def __repr__(self) -> str:
        view = f'"{self.view}"' if isinstance(self.view, str) else repr(self.view)
        return f"GroupLasso({self.strength!r}, {view})"


def _weight(groups: Tensor) -> float:
    weight: float = groups.shape[1] ** 0.5
    return weight

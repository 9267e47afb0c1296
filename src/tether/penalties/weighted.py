"""Weighted: a squared displacement in which every value has an importance, such as its Fisher information."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tether.errors import PlanError
from tether.penalties.base import Penalty, checked_strength

MAIN_SHARE = 0.9


@dataclass(frozen=True, eq=False, repr=False)
class Weighted(Penalty):
    r"""Weighted squared displacement, $\frac{\lambda}{2}\sum_i F_i\,\delta_i^2$.

    With the diagonal Fisher information as F it is the penalty of EWC (Kirkpatrick et al., 2017, eq. 3) and of
    L2-SP-Fisher (Li, Grandvalet and Davoine, 2018).

    Args:
        strength: λ.
        importance: F, a tensor of the displacement's shape; or one for each parameter by canonical name, of which a
            tether gives every parameter its own.

    Raises:
        PlanError: the strength or an importance is negative or not finite.

    >>> import torch
    >>> Weighted(2.0, torch.tensor([1.0, 0.0])).grad(torch.tensor([3.0, 3.0]))
    tensor([6., 0.])

    """

    strength: float
    importance: Float[Tensor, "*shape"] | Mapping[str, Tensor]

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", checked_strength("Weighted", self.strength))
        if not isinstance(self.importance, Tensor | Mapping):
            raise PlanError(
                f"an importance of type `{type(self.importance).__name__}` is neither a tensor nor one for each name",
                why="every value of a weight is pulled in proportion to its own importance",
                fix="tether.fisher(model, batches), or tether.Fisher.load(path)",
            )
        if isinstance(self.importance, Tensor):
            _refuse_negative("importance", self.importance)
            return
        for name, importance in self.importance.items():
            _refuse_negative(name, importance)

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """λ/2 Σ Fᵢ δᵢ²."""
        return self.strength / 2 * (self._for(delta) * delta.square()).sum()

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ Fᵢ δᵢ."""
        return self.strength * self._for(delta) * delta

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """δᵢ / (1 + step·λ·Fᵢ)."""
        return delta / self.shrink(delta, step)

    def shrink(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """1 + step·λ·Fᵢ."""
        return 1 + step * self.strength * self._for(delta)

    def scaled(self, factor: float) -> "Weighted":
        """Weighted(factor · λ, F)."""
        return Weighted(factor * self.strength, self.importance)

    @property
    def null(self) -> bool:
        """λ = 0."""
        return self.strength == 0

    def relative_pull(self, weight: Float[Tensor, "*shape"], step: float) -> float:
        """step·λ·F/(1 + step·λ·F), for the F above which nine tenths of the total importance lie.

        Most values of a Fisher information are next to zero: they are not meant to be pulled.
        """
        ordered = self._for(weight.detach()).flatten().double().sort(descending=True).values
        main = ordered[(ordered.cumsum(0) < MAIN_SHARE * ordered.sum()).sum().clamp_max(len(ordered) - 1)]
        pull = step * self.strength * float(main)
        return pull / (1 + pull)

    def on(self, name: str, weight: Float[Tensor, "*shape"], rows: Int[Tensor, " rows"] | None = None) -> "Weighted":
        """The same with the importance of that parameter, or of those of its rows.

        Raises:
            PlanError: there is none, or it has another shape.

        """
        importance = self.importance if isinstance(self.importance, Tensor) else self.importance.get(name)
        if importance is None:
            raise PlanError(
                f"`{self!r}` has no importance for `{name}`",
                why="importances are found by the parameter's name",
                fix=f"compute it for this parameter too, or overrides={{{name!r}: None}}",
            )
        if importance.shape != weight.shape:
            raise PlanError(
                f"the importance of `{name}` is {tuple(importance.shape)}, and it is {tuple(weight.shape)}",
                why="each value of the parameter has an importance of its own",
                fix="compute it for this model: tether.fisher(model, batches)",
            )
        importance = importance.detach().to(weight.device, torch.promote_types(weight.dtype, torch.float32))
        return Weighted(self.strength, importance if rows is None else importance[rows.to(importance.device)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weighted) and (other.strength, id(other.importance)) == self._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"Weighted({self.strength!r}, importance)"

    def _identity(self) -> tuple[float, int]:
        return self.strength, id(self.importance)

    def _for(self, delta: Tensor) -> Tensor:
        if not isinstance(self.importance, Tensor):
            raise PlanError(
                f"`{self!r}` is of many parameters",
                why="which of its importances is meant is told by the name",
                fix="penalty.on(name, weight), which a tether does",
            )
        return self.importance.to(delta.device)


def _refuse_negative(name: str, importance: Tensor) -> None:
    if not (importance.is_floating_point() and bool((importance.isfinite() & (importance >= 0)).all())):
        raise PlanError(
            f"the importance `{name}` has values that are negative or not finite",
            why="a negative one would push away, and NaN spreads to every weight",
            fix="compute it again, in float32 and on finite inputs",
        )

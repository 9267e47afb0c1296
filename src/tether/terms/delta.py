"""Delta: the student's feature maps are held to the source's, channel by channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tether.errors import PlanError
from tether.terms.base import Seen, Term, wide
from tether.terms.checks import checked_layers, checked_teacher
from tether.terms.pairs import pairs
from tether.terms.taps import Tap


@dataclass(frozen=True, eq=False, repr=False)
class Delta(Term):
    r"""Distance of feature maps, $\frac1n\sum_i\sum_l\sum_j W_{lj}\,\lVert FM_{lj}(x_i;w)-FM_{lj}(x_i;w^0)\rVert^2$.

    Over the channels j of the layers l, with $w^0$ the teacher's weights: the behavioural regulariser of DELTA (Li et
    al., ICLR 2019, section 3). It is 0, with no gradient, where the student's maps are the teacher's. The weights of a
    layer sum to 1: equal ones (DELTA without attention) are 1/C, and `attention` computes the paper's. The mean over
    the batch keeps the strength from changing with its size. The published code sums over the n samples of a batch:
    its `alpha` is, for a layer of C channels of H × W, a factor alpha·n·C/(2HW) here, and alpha·n·C/2 where it has no
    attention.

    Args:
        teacher: a frozen copy of the source, `frozen(source)`; may be given later by `bind`.
        layers: names or shell globs, the same in both models.
        weights: W by layer name, each of (channels,); equal ones when not given.
        axis: of the channels: 1 in convolutions, −1 where tokens come first.

    Raises:
        PlanError: there is no layer or no such axis, a weight is negative or not finite, or the teacher is not frozen.

    >>> from tether.terms.teacher import frozen
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    >>> Delta(frozen(model), layers=["0"])(model, (torch.zeros(5, 1, 3, 3), None))
    0 = delta 0

    """

    teacher: nn.Module | None = None
    layers: Sequence[str] = ()
    weights: Mapping[str, Float[Tensor, " channels"]] | None = None
    axis: int = 1
    name: ClassVar[str] = "delta"
    taught: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_teacher("Delta", self.teacher)
        object.__setattr__(self, "layers", checked_layers("Delta", self.layers))
        if isinstance(self.axis, bool) or not isinstance(self.axis, int) or self.axis == 0:
            raise PlanError(
                f"`Delta(axis={self.axis!r})`: a whole number, and not 0, which is the batch's axis",
                why="it is the axis of the channels",
                fix="Delta(axis=1) where channels come first, axis=-1 where they come last",
            )
        for name, weights in (self.weights or {}).items():
            if not (weights.ndim == 1 and weights.isfinite().all() and (weights >= 0).all()):
                raise PlanError(
                    f"the weights of `{name}` are no vector of finite numbers from 0 on",
                    why="each channel of a layer has one weight",
                    fix="weights=attention(…), or None for all channels alike",
                )

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The layers' outputs."""
        return tuple(Tap(layer) for layer in self.layers)

    teacher_taps = taps

    def value(self, seen: Seen) -> Float[Tensor, ""]:
        """Of one batch.

        Raises:
            PlanError: the two models' layers or their shapes differ, or the weights are of others.

        """
        found = pairs(self, seen)
        if self.weights is not None and self.weights.keys() != found.keys():
            raise PlanError(
                f"`{self!r}` has weights of {', '.join(self.weights)}, and looks at {', '.join(found)}",
                why="each layer that is looked at needs the weights of its own channels",
                fix="weights=attention(…) with the same `layers`",
            )
        distances = [
            distance(student, source, self._weights(name, student), self.axis)
            for name, (student, source) in found.items()
        ]
        return sum(distances[1:], distances[0])

    def _weights(self, name: str, maps: Tensor) -> Tensor:
        channels = maps.shape[self.axis]
        if self.weights is None:
            return torch.full((channels,), 1 / channels, dtype=torch.float64, device=maps.device)
        if len(self.weights[name]) != channels:
            raise PlanError(
                f"`{name}` has {channels} channels, and {len(self.weights[name])} weights",
                why="each channel of a layer has one weight",
                fix="compute the weights on this model, or say which `axis` the channels are",
            )
        return self.weights[name].to(maps.device)

    def __repr__(self) -> str:
        told = [f"layers={list(self.layers)!r}"] + ["weights=weights"] * (self.weights is not None)
        return f"Delta({', '.join(told + [f'axis={self.axis}'] * (self.axis != 1))})"


def distance(
    student: Float[Tensor, "batch ..."],
    source: Float[Tensor, "batch ..."],
    weights: Float[Tensor, " channels"],
    axis: int = 1,
) -> Float[Tensor, ""]:
    r"""$\frac1n\sum_i\sum_j W_j\lVert FM_j(x_i)-FM^0_j(x_i)\rVert^2$ of one layer, with the channels j along `axis`.

    >>> distance(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.tensor([0.5, 0.25, 0.25]))
    tensor(16.)

    """
    squares = (wide(student) - wide(source)).square().movedim(axis, -1)
    return (squares.flatten(end_dim=-2).sum(0) * weights.to(squares)).sum() / len(student)

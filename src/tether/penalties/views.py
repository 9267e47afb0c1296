"""View: how a tensor is cut into the groups that a group penalty holds together."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from tether.errors import PlanError
from tether.registry import did_you_mean

Name = Literal["filters", "neurons", "channels", "layers"]
AXES: dict[str, int | None] = {"filters": 0, "neurons": 0, "channels": 1, "layers": None}


@dataclass(frozen=True)
class Heads:
    """The heads of an attention layer: equal blocks along one axis of its weight.

    Args:
        count: number of heads.
        axis: 0 for a projection to queries, keys or values, whose outputs belong to heads; 1 for the projection after
            attention, whose inputs do.
        fused: how many projections lie one after another along the axis, 3 where one weight holds q, k and v; then a
            head's group is its block of all of them.

    Raises:
        PlanError: a number is out of range.

    """

    count: int
    axis: int = 0
    fused: int = 1

    def __post_init__(self) -> None:
        if not (_is_count(self.count) and _is_count(self.fused) and self.axis in (0, 1)):
            raise PlanError(
                f"`{self!r}`: `count` and `fused` are whole numbers from 1, and `axis` is 0 or 1",
                why="it cuts a matrix into `count` heads along one of its two axes",
                fix="Heads(12), or Heads(12, fused=3) where query, key and value are one matrix",
            )

    def __repr__(self) -> str:
        axis = f", axis={self.axis}" if self.axis else ""
        return f"Heads({self.count}{axis}{f', fused={self.fused}' if self.fused > 1 else ''})"


View = Name | Heads


def checked(view: View) -> View:
    """Refuse what is no view.

    Raises:
        PlanError: it is none; the message says which there are.

    """
    if isinstance(view, Heads) or (isinstance(view, str) and view in AXES):
        return view
    near = did_you_mean(view, AXES) if isinstance(view, str) else f"known: {', '.join(AXES)}"
    raise PlanError(
        f"there is no group view {view!r}",
        why="a view says which values of a weight make a group",
        fix=f"{near}, or Heads(count)",
    )


def fits(view: View, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape can be cut so.

    >>> fits(Heads(4), (12, 7)), fits(Heads(5), (12, 7)), fits("channels", (12,))
    (True, False, True)
    """
    if not isinstance(view, Heads):
        return True
    return len(shape) > view.axis and shape[view.axis] % (view.count * view.fused) == 0


def split(view: View, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "groups values"]:
    """Lay out a tensor as one row a group.

    `filters`, `neurons`: a slice along the first axis, the incoming weights of one output. `channels`: along the
    second, the outgoing weights of one input. `layers`: the whole tensor. In a bias each value is a group, but for
    `layers` and `Heads`.

    >>> import torch
    >>> split("channels", torch.arange(6.0).reshape(2, 3))
    tensor([[0., 3.],
            [1., 4.],
            [2., 5.]])
    """
    if isinstance(view, Heads):
        moved = delta.movedim(view.axis, 0)
        blocks = moved.reshape(view.fused, view.count, -1, *moved.shape[1:])
        return blocks.transpose(0, 1).reshape(view.count, -1)
    axis = AXES[view]
    if axis is None:
        return delta.reshape(1, -1)
    if delta.ndim < 2:
        return delta.reshape(-1, 1)
    return delta.movedim(axis, 0).reshape(delta.shape[axis], -1)


def join(view: View, groups: Float[Tensor, "groups values"], shape: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """Put rows of groups back into the tensor's shape: the inverse of `split`."""
    if isinstance(view, Heads):
        across = shape[: view.axis] + shape[view.axis + 1 :]
        blocks = groups.reshape(view.count, view.fused, -1, *across).transpose(0, 1)
        return blocks.reshape(shape[view.axis], *across).movedim(0, view.axis)
    if view == "channels" and len(shape) > 1:
        return groups.reshape(shape[1], shape[0], *shape[2:]).movedim(0, 1)
    return groups.reshape(shape)


def nested(inner: View, outer: View) -> bool:
    """Whether every group of `inner` lies within one of `outer`.

    >>> nested("filters", Heads(4)), nested("channels", Heads(4)), nested(Heads(4), "layers")
    (True, False, True)
    """
    if outer == "layers":
        return True
    if isinstance(outer, Heads) and not isinstance(inner, Heads):
        return AXES[inner] == outer.axis
    return inner == outer


def _is_count(value: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0

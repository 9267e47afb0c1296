"""Pull: a penalty, what its displacement is measured from, and how its strength changes over the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from tether.errors import PlanError
from tether.penalties.schedule import CONSTANT, Schedule

if TYPE_CHECKING:
    from tether.penalties.base import Penalty

SOURCE, ZERO = "source", "zero"


@dataclass(frozen=True, eq=False)
class Weights:
    """Another model's weights to be held to.

    Args:
        tensors: by canonical parameter name; what the plan does not hold to them may be missing or more.
        name: what they are called in summaries.

    """

    tensors: Mapping[str, Tensor] = field(repr=False)
    name: str = "other weights"


Reference = str | Weights
"""`"source"`, `"zero"`, the path or the catalogued name of a checkpoint, or `Weights`."""


@dataclass(frozen=True)
class Pull:
    """A penalty together with what it pulls to, and a schedule of its strength.

    Args:
        reference: `"source"`, `"zero"`, a checkpoint's path (read when a tether is made), or a mapping of tensors.
        schedule: a factor of the strength over the steps; none when not given.

    Raises:
        PlanError: the reference is none of these, the schedule is no schedule, or a constraint has one.

    >>> from tether.penalties.l2 import L2
    >>> from tether.penalties.schedule import Cosine
    >>> L2(0.1).toward("source", Cosine(1000))
    L2(0.1).toward("source", Cosine(steps=1000, end=0.0))

    """

    penalty: "Penalty"
    reference: Reference
    schedule: Schedule = CONSTANT

    def __post_init__(self) -> None:
        if isinstance(self.reference, Mapping):
            object.__setattr__(self, "reference", Weights(self.reference))
        if not isinstance(self.reference, str | Weights) or not self.reference:
            raise PlanError(
                f"{self.reference!r} is no reference",
                why="a reference is what a parameter is held to: the source, zero, or other weights by name",
                fix='toward("source"), toward("zero"), toward("file.safetensors"), or a mapping of name to tensor',
            )
        if not isinstance(self.schedule, Schedule):
            raise PlanError(
                f"`{self.schedule!r}` is no schedule",
                why="a schedule gives the factor of a strength at each step",
                fix="Constant(), Cosine(steps), or Annealing(k, t0)",
            )
        if self.schedule != CONSTANT and not self.penalty.coupled:
            raise PlanError(
                f"`{self.penalty!r}` has no strength that a schedule could change",
                why="a constraint holds or does not",
                fix="leave the schedule out",
            )

    def scaled(self, factor: float) -> "Pull":
        """The same pull with every strength multiplied."""
        return Pull(self.penalty.scaled(factor), self.reference, self.schedule)

    @property
    def target(self) -> str:
        """What it pulls to, in words."""
        return self.reference if isinstance(self.reference, str) else self.reference.name

    def __repr__(self) -> str:
        inner = f"({self.penalty})" if "+" in repr(self.penalty) else repr(self.penalty)
        later = "" if self.schedule == CONSTANT else f", {self.schedule!r}"
        target = f'"{self.reference}"' if isinstance(self.reference, str) else f"{self.reference!r}"
        return f"{inner}.toward({target}{later})"

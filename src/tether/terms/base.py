"""Term: what one batch adds to the loss, from what one forward pass of each model has shown."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from jaxtyping import Float, Int64
from torch import Tensor, nn

from tether.errors import DataError
from tether.terms.taps import Pass, Tap

if TYPE_CHECKING:
    from tether.terms.objective import Objective
    from tether.terms.result import Terms

Labels = Int64[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a term is computed from: the student's pass, the teacher's where it has one, and the labels."""

    student: Pass
    teacher: Pass | None
    labels: Labels | None


class Term(ABC):
    """One summand of an objective.

    A member is a frozen dataclass that declares what it needs to see, and is a pure function of that. The objective
    sends a batch through the student once, and through a teacher once, for all its terms.
    """

    name: ClassVar[str]
    """Under which its value is logged."""
    teacher: nn.Module | None = None
    taught: ClassVar[bool] = False
    """Whether it needs a teacher, which `bind` gives it where its maker did not."""
    is_mean: ClassVar[bool] = True
    """Whether its value of a batch is the mean of its values of the pictures, so that parts of a batch add up to it."""

    @property
    def taps(self) -> tuple[Tap, ...]:
        """What it needs to see of the student, beside the output."""
        return ()

    @property
    def teacher_taps(self) -> tuple[Tap, ...]:
        """What it needs to see of the teacher, beside the output."""
        return ()

    @abstractmethod
    def value(self, seen: Seen) -> Float[Tensor, ""]:
        """The term of one batch."""

    def bind(self, teacher: nn.Module) -> Self:
        """The same with that teacher, where it needs one and has none."""
        if not self.taught or self.teacher is not None:
            return self
        return cast(Self, replace(cast(Any, self), teacher=teacher))

    def __call__(self, model: nn.Module, batch: Sequence[Any]) -> "Terms":
        """The term alone, as an objective."""
        return self._alone()(model, batch)

    def __add__(self, other: "Term | Objective") -> "Objective":
        return self._alone() + other

    def __mul__(self, factor: float) -> "Objective":
        return self._alone() * factor

    __rmul__ = __mul__

    def _alone(self) -> "Objective":
        from tether.terms.objective import Objective

        return Objective(((1.0, self),))


def parted(batch: Any) -> tuple[Any, Labels | None]:
    """The inputs and the labels of a batch, (inputs, labels), in which labels may be None.

    Raises:
        DataError: it is not such a pair.

    """
    if isinstance(batch, Tensor) or not isinstance(batch, Sequence) or len(batch) != 2:
        size = f" of {len(batch)}" if isinstance(batch, Sequence) else ""
        raise DataError(
            f"a batch is a {type(batch).__name__}{size}, and not a pair",
            why="the inputs go through the model, and the labels to the terms that read them",
            fix="(inputs, labels), or (inputs, None) where no term reads labels",
        )
    inputs, labels = batch
    return inputs, labels


def logits_of(seen: Pass, whose: str) -> Float[Tensor, "batch classes"]:
    """What a model returned, one logit a class.

    Raises:
        DataError: it is something else.

    """
    if not (isinstance(seen.output, Tensor) and seen.output.ndim == 2 and seen.output.is_floating_point()):
        found = f"of {tuple(seen.output.shape)}" if isinstance(seen.output, Tensor) else "no tensor"
        raise DataError(
            f"the {whose} returns a {type(seen.output).__name__} {found}",
            why="its logits are needed, of (batch, classes)",
            fix="wrap the model so that it returns its logits",
        )
    return wide(seen.output)


def wide(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """In float32 where they are narrower, for sums and exponentials."""
    return values.float() if values.dtype.itemsize < 4 else values

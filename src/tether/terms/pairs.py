"""Pairs: the same layers of student and teacher, side by side."""

from jaxtyping import Float
from torch import Tensor

from tether.errors import PlanError
from tether.terms.base import Seen, Term

Pair = tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]


def pairs(term: Term, seen: Seen) -> dict[str, Pair]:
    """What the student's and the teacher's layers show, by name.

    Raises:
        PlanError: a glob matches other layers in one than in the other, or their shapes differ.

    """
    assert seen.teacher is not None
    ours = {name: value for tap in term.taps for name, value in seen.student.tapped[tap].items()}
    theirs = {name: value for tap in term.teacher_taps for name, value in seen.teacher.tapped[tap].items()}
    if ours.keys() != theirs.keys():
        odd = ", ".join(f"`{name}`" for name in sorted(ours.keys() ^ theirs.keys()))
        raise PlanError(
            f"`{term!r}` matches {odd} in one of student and teacher alone",
            why="each layer of the student is compared with the teacher's of the same name",
            fix="layers that both have",
        )
    for name, value in ours.items():
        if value.shape != theirs[name].shape:
            raise PlanError(
                f"`{name}` is {tuple(value.shape)} in the student, and {tuple(theirs[name].shape)} in the teacher",
                why="two tensors are compared value by value",
                fix="layers that are alike in both, which a new head is not",
            )
    return {name: (value, theirs[name]) for name, value in ours.items()}

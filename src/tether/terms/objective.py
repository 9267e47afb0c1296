"""Objective: a weighted sum of terms, which goes through each model once for all of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from tether.errors import PlanError
from tether.terms.base import Seen, Term, parted
from tether.terms.result import Terms
from tether.terms.taps import Pass, Tap, forward
from tether.terms.teacher import ask


@dataclass(frozen=True, eq=False, repr=False)
class Objective:
    r"""$\sum_i f_i\,\ell_i(\text{batch})$ over terms $\ell_i$ with factors $f_i$; made by `+` and `*`.

    A call sends the batch through the model once, in the mode that it is in, and once through each teacher, however
    many terms look at them. A batch is (inputs, labels); the model is called with the inputs alone.

    Raises:
        PlanError: a factor is negative or not finite.

    >>> from tether.terms.bss import BSS
    >>> from tether.terms.classify import Classify
    >>> Classify() + 0.001 * BSS()
    Classify() + 0.001 * BSS()

    """

    parts: tuple[tuple[float, Term], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The terms' names; a second one of a kind has a 2 behind it."""
        kinds = [term.name for _, term in self.parts]
        before = [kinds[: i + 1].count(kind) for i, kind in enumerate(kinds)]
        return tuple(kind if nth == 1 else f"{kind}_{nth}" for kind, nth in zip(kinds, before, strict=True))

    @property
    def untaught(self) -> bool:
        """Whether a term still needs a teacher."""
        return any(term.taught and term.teacher is None for _, term in self.parts)

    def bind(self, teacher: nn.Module) -> "Objective":
        """The same, with that teacher in every term that needs one and has none."""
        return Objective(tuple((factor, term.bind(teacher)) for factor, term in self.parts))

    def __call__(self, model: nn.Module, batch: Sequence[Any]) -> Terms:
        """The value for one batch.

        Raises:
            PlanError: a term lacks its teacher, or cannot look at a layer; or the teacher is not frozen.
            NoParameterSelected: a layer's name matches nothing.
            DataError: the batch or the model's output does not fit.

        """
        self._refuse_untaught()
        inputs, labels = parted(batch)
        student = forward(model, inputs, self._taps())
        asked = self._ask(model, inputs)
        shares = [
            factor * term.value(Seen(student, asked.get(id(term.teacher)), labels)) for factor, term in self.parts
        ]
        values = {name: share.detach() for name, share in zip(self.names, shares, strict=True)}
        return Terms(sum(shares[1:], shares[0]), values, student.output)

    def _taps(self) -> set[Tap]:
        return {tap for _, term in self.parts for tap in term.taps}

    def _ask(self, model: nn.Module, inputs: Any) -> dict[int, Pass]:
        """What each teacher shows, by its identity."""
        teachers = {id(term.teacher): term.teacher for _, term in self.parts if term.teacher is not None}
        wanted = {
            key: {t for _, term in self.parts if id(term.teacher) == key for t in term.teacher_taps} for key in teachers
        }
        return {key: ask(teacher, model, inputs, wanted[key]) for key, teacher in teachers.items()}

    def _refuse_untaught(self) -> None:
        for _, term in self.parts:
            if term.taught and term.teacher is None:
                raise PlanError(
                    f"`{term!r}` has no teacher",
                    why="it compares with the source",
                    fix="objective.bind(frozen(source))",
                )

    def __add__(self, other: "Term | Objective") -> "Objective":
        if isinstance(other, Term):
            other = Objective(((1.0, other),))
        return Objective(self.parts + other.parts) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: float) -> "Objective":
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        if not (math.isfinite(factor) and factor >= 0):
            raise PlanError(
                f"`{factor!r} * ({self!r})`: a factor is a finite number, 0 or more",
                why="a factor below 0 would reward what the term penalises",
                fix=f"0.5 * ({self!r})",
            )
        return Objective(tuple((factor * own, term) for own, term in self.parts))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return " + ".join(repr(term) if factor == 1 else f"{factor!r} * {term!r}" for factor, term in self.parts)

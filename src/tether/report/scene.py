"""Scene: a comparison with what all sections of its report share."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tether.report.figures.lines import Lines
from tether.report.figures.marks import Marks
from tether.study.comparison import Comparison, Group

MOST_DRAWN = 12  # groups; the rest stands in the tables


@dataclass(frozen=True)
class Scene:
    """What is told.

    Args:
        root: from the folder of the report to that of the study.
    """

    found: Comparison
    root: str = "."

    @cached_property
    def marks(self) -> Marks:
        """The look of every method, the same in all figures."""
        names = (name for group in self.found.groups for one in group.methods for name in (one.name,))
        swept = (sweep.method for group in self.found.groups for sweep in group.sweeps)
        own = (one.method for group in self.found.groups for one in group.candidates)
        return Marks.among([*names, *swept, *own], self.found.against)

    @cached_property
    def lines(self) -> Lines:
        """The look of every penalty over its strengths, the same in all figures."""
        return Lines.among(self.marks, self.found.groups)

    def drawn(self) -> Iterator[tuple[int, Group]]:
        """The groups that have figures, with their numbers."""
        yield from list(enumerate(self.found.groups))[:MOST_DRAWN]

    @property
    def undrawn(self) -> tuple[str, ...]:
        """A sentence about the groups without figures, where there are some."""
        left = len(self.found.groups) - MOST_DRAWN
        return (f"{left} more conditions have no figure here; the tables have them.",) if left > 0 else ()

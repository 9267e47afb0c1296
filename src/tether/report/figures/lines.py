"""Lines: the look of every penalty over its strengths, and of no penalty, the same in all figures of a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tether.report.figures.marks import LABEL, Mark, Marks
from tether.report.words import given, said, shortened
from tether.study.comparison import PLAIN, Candidate, Group, Sweep

DOTTED = (0, (1, 2))
Way = tuple[str, str, str]
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lines:
    """The looks of lines; of one method, another reference and other settings beside the plan have another line.

    Args:
        of: by method, what it is toward, and the settings in words.
        plain: by the name of a candidate without penalty: its look, and its settings in words.
    """

    marks: Marks
    of: dict[Way, Mark]
    plain: dict[str, tuple[Mark, str]]

    @classmethod
    def among(cls, marks: Marks, groups: Sequence[Group]) -> "Lines":
        """Give each a look."""
        of: dict[Way, Mark] = {}
        for one in (_way(sweep) for group in groups for sweep in group.sweeps):
            count = sum(method == one[0] for method, _, _ in of)
            of.setdefault(one, marks.of[one[0]].varied(count))
        told = {one.name: given(one.settings) for group in groups for one in unheld(group)}
        plain = {name: (marks.of[PLAIN].varied(at), words) for at, (name, words) in enumerate(told.items())}
        return cls(marks, of, plain)

    def look(self, sweep: Sweep) -> Mark:
        """That of a penalty over its strengths."""
        return self.of[_way(sweep)]

    def base(self, one: Candidate) -> Mark:
        """That of no penalty, whose line is dotted where there is but one."""
        look, _ = self.plain[one.name]
        return look if len(self.plain) > 1 else Mark(look.colour, look.shape, DOTTED)

    @property
    def key(self) -> Key:
        """A sign and a name for each line, and for no penalty where that has several."""
        plain = tuple((look.swatch, _named(said(PLAIN), words)) for look, words in self.plain.values())
        return (plain if len(plain) > 1 else ()) + tuple(map(self._told, self.of))

    def key_with(self, methods: Iterable[str]) -> Key:
        """A sign and a name for each method, and for each line of a method that has several."""
        found: list[tuple[str, str]] = []
        for name in dict.fromkeys(methods):
            own = [one for one in self.of if one[0] == name]
            found += map(self._told, own) if len(own) > 1 else self.marks.key([name])
        return tuple(found)

    def _told(self, one: Way) -> tuple[str, str]:
        method, reference, words = one
        name = f"{shortened(said(method), LABEL)} toward {shortened(reference, LABEL)}"
        return self.of[one].swatch, _named(name, words)


def unheld(group: Group) -> list[Candidate]:
    """The candidates without penalty: one, or one for each of the settings that are varied beside the plan."""
    return [one for one in group.candidates if one.method == PLAIN]


def _way(sweep: Sweep) -> Way:
    return sweep.method, sweep.reference, given(sweep.settings)


def _named(name: str, words: str) -> str:
    return f"{name}, {shortened(words, 2 * LABEL)}" if words else name

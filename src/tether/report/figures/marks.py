"""Marks: the colour, shape and line of every method, the same in all figures of a report."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from tether.report.palette import SERIES, coloured, mark
from tether.report.words import said, shortened
from tether.study.comparison import Sweep

SIGNS = {
    "o": "M10.5 7a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "s": "M11 4h6v6h-6z",
    "^": "M14 3l4 7.5h-8z",
    "D": "M14 2.8l4.2 4.2l-4.2 4.2l-4.2-4.2z",
    "v": "M14 11l4-7.5h-8z",
    "p": "M14 3l4 2.9l-1.5 4.7h-5l-1.5-4.7z",
    "<": "M10 7l7.5-4v8z",
    ">": "M18 7l-7.5-4v8z",
}
SHAPES = ("s", "^", "D", "v", "p", "<", ">")
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.4)))
LABEL = 24


@dataclass(frozen=True)
class Mark:
    """How one method is drawn."""

    colour: str
    shape: str
    line: Any

    @property
    def look(self) -> dict[str, Any]:
        """Arguments of Matplotlib for a line with marks."""
        return {"color": self.colour, "marker": self.shape, "linestyle": self.line, "markeredgewidth": 0}


@dataclass(frozen=True)
class Marks:
    """The marks of a report's methods; the one that others are compared with is a black circle."""

    of: dict[str, Mark]

    @classmethod
    def among(cls, methods: Iterable[str], against: str) -> "Marks":
        """Give each a mark."""
        others = [name for name in dict.fromkeys(methods) if name != against]
        found = {against: Mark(mark("ink"), "o", "-")}
        for number, name in enumerate(others):
            colour = mark(SERIES[number % len(SERIES)])
            line = LINES[number // len(SERIES) % len(LINES)]
            found[name] = Mark(colour, SHAPES[number % len(SHAPES)], line)
        return cls(found)

    def key(self, methods: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """A sign and a name for each."""
        return tuple((_swatch(self.of[name]), shortened(said(name), LABEL)) for name in dict.fromkeys(methods))

    def sweeps(self, found: Iterable[Sweep]) -> dict[tuple[str, str], Mark]:
        """The marks of penalties by what they are toward; of one method, another reference has another line."""
        marks: dict[tuple[str, str], Mark] = {}
        for sweep in found:
            own = self.of[sweep.method]
            count = sum(method == sweep.method for method, _ in marks)
            look = own if not count else replace(own, line=LINES[count % len(LINES)])
            marks.setdefault((sweep.method, sweep.reference), look)
        return marks

    def sweep_key(self, found: Iterable[Sweep]) -> tuple[tuple[str, str], ...]:
        """A sign and a name for each penalty and what it is toward."""
        return tuple(
            (_swatch(look), f"{shortened(said(method), LABEL)} toward {shortened(reference, LABEL)}")
            for (method, reference), look in self.sweeps(found).items()
        )


def _swatch(one: Mark) -> str:
    """A small sign for a key to figures, which says nothing by itself."""
    dashes = "" if one.line == "-" else f' stroke-dasharray="{" ".join(str(1.6 * part) for part in one.line[1])}"'
    line = f'<path d="M0 7H28"{dashes} style="fill:none;stroke:{one.colour};stroke-width:1.6"/>'
    sign = f'<path d="{SIGNS[one.shape]}" style="fill:{one.colour}"/>'
    return coloured(f'<svg class="swatch" viewBox="0 0 28 14" aria-hidden="true">{line}{sign}</svg>')

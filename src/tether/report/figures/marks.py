"""Marks: the colour, shape and line of every method, the same in all figures of a report."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from tether.report.palette import SERIES, coloured, mark
from tether.report.words import said, shortened

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

    @property
    def swatch(self) -> str:
        """A small sign for a key to figures, which says nothing by itself."""
        dashes = "" if self.line == "-" else f' stroke-dasharray="{" ".join(str(1.6 * part) for part in self.line[1])}"'
        line = f'<path d="M0 7H28"{dashes} style="fill:none;stroke:{self.colour};stroke-width:1.6"/>'
        sign = f'<path d="{SIGNS[self.shape]}" style="fill:{self.colour}"/>'
        return coloured(f'<svg class="swatch" viewBox="0 0 28 14" aria-hidden="true">{line}{sign}</svg>')

    def varied(self, count: int) -> "Mark":
        """The same colour with another line, and when those are used up with another shape too."""
        if not count:
            return self
        signs = list(SIGNS)
        shape = signs[(signs.index(self.shape) + count // len(LINES)) % len(signs)]
        return replace(self, line=LINES[count % len(LINES)], shape=shape)


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
        return tuple((self.of[name].swatch, shortened(said(name), LABEL)) for name in dict.fromkeys(methods))

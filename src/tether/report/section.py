"""Section: what stands in a report under one heading, before it is HTML or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from tether.report.figures.canvas import Picture
from tether.report.table import Table


@dataclass(frozen=True)
class Prose:
    """Sentences, as paragraphs or as a list; names in them are escaped for one line already."""

    lines: tuple[str, ...]
    is_list: bool = False


@dataclass(frozen=True)
class Findings:
    """Sentences by condition, beside one another."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Gallery:
    """Figures side by side, each with a caption, and one key to all of them."""

    pictures: tuple[Picture, ...]
    key: tuple[tuple[str, str], ...] = ()
    """Pairs of a mark, as SVG, and a name."""


def galleries(rows: Sequence[Sequence[Picture]], key: tuple[tuple[str, str], ...]) -> list[Gallery]:
    """A gallery a row, so that the conditions stand below one another; one condition alone is one row."""
    if all(len(row) < 2 for row in rows):
        rows = [[picture for row in rows for picture in row]]
    return [Gallery(tuple(row), () if place else key) for place, row in enumerate(rows) if row]


@dataclass(frozen=True)
class Shown:
    """A table."""

    table: Table


@dataclass(frozen=True)
class Folded:
    """Tables that are unfolded to be read; Markdown leaves them to the CSV."""

    says: str
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Matrices:
    """Counts of truth by guess, of each method of a group."""

    says: str
    classes: tuple[str, ...]
    counts: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...]


@dataclass(frozen=True)
class Chips:
    """Every run of a candidate, as a link to its folder with what it came to.

    Args:
        at: the id that rows of other tables link to.
        runs: `(seed, words, folder, status)` each.
    """

    at: str
    candidate: str
    runs: tuple[tuple[str, str, str, str], ...]
    left_out: int = 0


@dataclass(frozen=True)
class Runs:
    """All candidates of a group with their runs."""

    group: str
    rows: tuple[Chips, ...]


@dataclass(frozen=True)
class Code:
    """Text as it is."""

    says: str
    text: str
    is_folded: bool = True


Part = Prose | Findings | Gallery | Shown | Folded | Matrices | Runs | Code


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it.

    Args:
        key: its id in the page.
        sheets: the names of the CSV files that belong here.
    """

    key: str
    title: str
    parts: tuple[Part, ...]
    sheets: tuple[str, ...] = ()

"""Table: rows that the page, Markdown and CSV share; a cell has a text for people and its values in full."""

from dataclasses import dataclass

from tether.report.words import NOTHING, brief, number, points, said, span
from tether.study.intervals import Interval

Value = str | int | float | None


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: what is read; under: a second, smaller line.
        values: what stands in the CSV, one for each key of the column.
        link: a place in the page.
        is_name: whether the text comes from outside, so that it is shown as code.
    """

    text: str
    values: tuple[Value, ...]
    under: str = ""
    link: str = ""
    is_name: bool = False

    @classmethod
    def name(cls, text: str, link: str = "") -> "Cell":
        """A name from outside."""
        return cls(text, (text,), link=link, is_name=True)

    @classmethod
    def method(cls, name: str) -> "Cell":
        """A method, in words where it has some."""
        return cls(said(name), (name,), is_name=said(name) == name)

    @classmethod
    def words(cls, text: str) -> "Cell":
        """Words of our own."""
        return cls(text or NOTHING, (text,))

    @classmethod
    def count(cls, value: int | None) -> "Cell":
        """A whole number."""
        return cls(NOTHING if value is None else f"{value:,}", (value,))

    @classmethod
    def number(cls, value: float | None, digits: int = 3) -> "Cell":
        """A number with so many decimals."""
        return cls(number(value, digits), (value,))

    @classmethod
    def brief(cls, value: float | None) -> "Cell":
        """A number of any size."""
        return cls(brief(value), (value,))

    @classmethod
    def mean(cls, interval: Interval | None) -> "Cell":
        """A mean with its interval: three values."""
        if interval is None:
            return cls(NOTHING, (None,) * 3)
        ends = (interval.low, interval.high) if interval.seeds > 1 else (None, None)
        return cls(number(interval.estimate), (interval.estimate, *ends), under=span(interval))

    @classmethod
    def points(cls, interval: Interval | None) -> "Cell":
        """A difference in percentage points: three values, in full and not times a hundred."""
        if interval is None:
            return cls(NOTHING, (None,) * 3)
        middle, ends = points(interval)
        return cls(middle, (interval.estimate, interval.low, interval.high), under=ends)


@dataclass(frozen=True)
class Column:
    """A column, which is one or several in the CSV."""

    head: str
    keys: tuple[str, ...]
    is_number: bool = False

    @classmethod
    def of(cls, head: str, key: str, *, number: bool = False) -> "Column":
        """One column."""
        return cls(head, (key,), number)

    @classmethod
    def interval(cls, head: str, key: str) -> "Column":
        """A mean or a difference with both ends."""
        return cls(head, (key, f"{key}_low", f"{key}_high"), is_number=True)


@dataclass(frozen=True)
class Table:
    """Rows of one group of a study, or of all of it.

    Args:
        name: of the CSV file, in which the groups' tables of one name stand below one another.
        group: empty where the table is of the whole study, or nothing is varied.
        heads: how many columns at the left name the row.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    group: str = ""
    heads: int = 1

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of its CSV."""
        return tuple(key for column in self.columns for key in column.keys)

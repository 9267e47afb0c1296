"""Audit: what was checked, what was expected of it, and what was measured."""

import math
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tether.escaping import printable, terminal
from tether.guard import few
from tether.summary import table


@dataclass(frozen=True)
class Row:
    """One check of one thing.

    Args:
        check: what is asked, as in `docs/audit.md`.
        about: the parameter, the layer, or how many of which.
        passed: None where it could not be checked; `note` then says why.
        note: what is wrong, and the way out.

    """

    check: str
    about: str
    expected: str
    measured: str
    passed: bool | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Audit:
    """The rows of one audit; printed, those that failed come first.

    >>> print(Audit("l2", (Row("rate", "group 0", "> 0", "0.1", True), Row("rate", "group 1", "> 0", "0", False))))
    audit: failed, 1 of 2 checks · l2
    failed: rate, group 1: expected > 0, measured 0
    passed       of  expected  measured
    rate    group 0       > 0       0.1

    """

    plan: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed; one that could not be made has not."""
        return not self.failed

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.passed is False)

    @property
    def unchecked(self) -> tuple[Row, ...]:
        """The rows that could not be checked."""
        return tuple(row for row in self.rows if row.passed is None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with every row."""
        return {"plan": self.plan, "passed": self.passed, "rows": [row.to_json() for row in self.rows]}

    def __str__(self) -> str:
        failed, unchecked, count = len(self.failed), len(self.unchecked), len(self.rows)
        title = f"audit: failed, {failed} of {count} checks" if failed else f"audit: passed, {count} checks"
        title += f", {unchecked} of them not made" if unchecked else ""
        pulls = [row for row in self.rows if row.check == "pull delivered"]
        title += "; no pull was measured" if pulls and all(row.passed is None for row in pulls) else ""
        return "\n".join([f"{title} · {printable(self.plan)}", *self._failed(), *self._unchecked(), *self._passed()])

    def _failed(self) -> Iterator[str]:
        for rows in _alike(self.failed, lambda row: (row.check, row.note)):
            expected, measured = _range(rows, "expected"), _range(rows, "measured")
            yield f"failed: {rows[0].check}, {_names(rows)}: expected {expected}, measured {measured}"
            if rows[0].note:
                yield f"  {printable(rows[0].note)}"

    def _unchecked(self) -> Iterator[str]:
        for rows in _alike(self.unchecked, lambda row: (row.check, row.note)):
            yield f"not checked: {rows[0].check}, {_names(rows)}: {printable(rows[0].note)}"

    def _passed(self) -> list[str]:
        found = _alike([row for row in self.rows if row.passed], lambda row: row.check)
        if not found:
            return []
        lines = [["passed", "of", "expected", "measured"]]
        for rows in found:
            about = _names(rows) if len(rows) == 1 else f"{len(rows)}"
            lines.append([rows[0].check, about, _range(rows, "expected"), _range(rows, "measured")])
        return table(lines)


def _alike(rows: Iterable[Row], key: Any) -> list[list[Row]]:
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "parameter"), counted(2, "parameter")
    ('1 parameter', '2 parameters')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _names(rows: Sequence[Row]) -> str:
    return terminal(rows[0].about) if len(rows) == 1 and " " in rows[0].about else few([row.about for row in rows])


def _range(rows: Sequence[Row], field: str) -> str:
    """One value or two, or the least and the greatest of several."""
    values = sorted({getattr(row, field) for row in rows}, key=_size)
    return ", ".join(map(printable, values)) if len(values) < 3 else f"{printable(values[0])} … {printable(values[-1])}"


def _size(value: str) -> tuple[float, str]:
    """Numbers by size and before words."""
    number = re.match(r"-?[\d.]+(e[-+]\d+)?", value)
    return float(number[0]) if number else math.inf, value

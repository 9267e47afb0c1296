"""Sheet: tables as CSV (RFC 4180), which a spreadsheet opens without computing anything."""

import csv
import math
from collections.abc import Iterable, Sequence
from io import StringIO

from tether.escaping import cell
from tether.report.table import Table, Value

GROUP = "group"


def sheet(tables: Sequence[Table]) -> str:
    """The tables of one name below one another, with the group in the first column; numbers in full."""
    keys = list(dict.fromkeys(key for table in tables for key in table.keys))
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([GROUP, *map(cell, keys)])
    for table in tables:
        for row in table.rows:
            values = (value for one in row for value in one.values)
            found = dict(zip(table.keys, values, strict=True))
            writer.writerow([cell(table.group), *(_text(found.get(key)) for key in keys)])
    return stream.getvalue()


def sheets(tables: Iterable[Table]) -> dict[str, str]:
    """The CSV of each name."""
    named: dict[str, list[Table]] = {}
    for table in tables:
        named.setdefault(table.name, []).append(table)
    return {name: sheet(found) for name, found in named.items()}


def _text(value: Value) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return cell(value) if isinstance(value, str) else repr(value)

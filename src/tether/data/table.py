"""Table: pictures listed in a CSV or TSV file with the columns `path` and `label`, and `split` if it has one."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tether.data.folder import PART_OF
from tether.data.pictures import Pictures
from tether.errors import DataError
from tether.registry import did_you_mean

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NEEDED = ("path", "label")


@dataclass(frozen=True)
class _Row:
    line: int
    name: str
    kind: str
    part: str


def read_table(table: Path, *, skip_bad: bool = False) -> Pictures:
    """List the pictures of a table; paths are relative to the table's folder.

    Raises:
        DataError: a column, a value or a picture is missing; the message names the file and the line.
    """
    rows = list(_rows(table))
    _refuse_twice(table, rows)
    present = [row for row in rows if (table.parent / row.name).is_file()]
    missing = sorted({*rows} - {*present}, key=lambda row: row.line)
    if missing and not skip_bad:
        raise _absent(table, missing, len(rows))
    return Pictures.of_files(
        table.parent,
        [row.name for row in present],
        [row.kind for row in present],
        classes={row.kind for row in rows},
        split=[row.part for row in present] if rows[0].part else None,
        skipped=[(row.name, f"line {row.line}: no such file") for row in missing],
    )


def _rows(table: Path) -> Iterator[_Row]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=DELIMITERS[table.suffix.lower()], strict=True)
            columns = _columns(table, next(reader, []))
            found = False
            for cells in reader:
                if cells:
                    yield _row(table, reader.line_num, columns, cells)
                    found = True
    except UnicodeDecodeError as error:
        raise DataError(f"`{table}` is not UTF-8: {error}", fix="save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"`{table}`, line {reader.line_num}: {error}", fix="quote cells as CSV does") from None
    if not found:
        raise DataError(f"`{table}` lists no pictures", fix="add a line `path,label` for each")


def _columns(table: Path, header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    for name in NEEDED:
        if name not in columns:
            raise DataError(
                f"`{table}`, line 1: there is no column `{name}`",
                why=f"the first line names the columns, among them `path` and `label`, a {_delimiter(table)} between",
                fix=did_you_mean(name, columns) if any(columns) else "write `path,label` as the first line",
            )
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"`{table}`, line 1: the column `{twice}` is there twice", fix="keep one of them")
    return columns


def _row(table: Path, line: int, columns: list[str], cells: list[str]) -> _Row:
    if len(cells) != len(columns):
        raise DataError(
            f"`{table}`, line {line}: cells found: {len(cells)}, in the header: {len(columns)}",
            fix=f"cells are apart by a {_delimiter(table)}; quote one that holds it",
        )
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    for name in NEEDED:
        if not row[name]:
            raise DataError(f"`{table}`, line {line}: `{name}` is empty", fix="fill it in, or take the line out")
    return _Row(line, row["path"], row["label"], _part(table, line, row["split"]) if "split" in row else "")


def _part(table: Path, line: int, given: str) -> str:
    part = PART_OF.get(given.lower())
    if part is None:
        raise DataError(f"`{table}`, line {line}: `{given}` is no split", fix=did_you_mean(given.lower(), PART_OF))
    return part


def _refuse_twice(table: Path, rows: list[_Row]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        place = os.path.normpath(row.name)
        if place in first:
            raise DataError(
                f"`{table}`, line {row.line}: `{row.name}` is listed at line {first[place]} already",
                why="the same picture could be trained on and tested on",
                fix="take one of the two lines out",
            )
        first[place] = row.line


def _absent(table: Path, missing: list[_Row], total: int) -> DataError:
    first = ", ".join(f"`{row.name}` (line {row.line})" for row in missing[:3])
    return DataError(
        f"`{table}`: {len(missing)} of {total} pictures are not there: {first}{', …' if len(missing) > 3 else ''}",
        why=f"paths are relative to the table's folder, `{table.parent}`",
        fix="correct the paths, or leave such pictures out with --skip-bad",
    )


def _delimiter(table: Path) -> str:
    return {",": "comma", "\t": "tab"}[DELIMITERS[table.suffix.lower()]]

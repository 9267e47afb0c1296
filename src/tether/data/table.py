"""Table: pictures listed in a CSV or TSV file with the columns `path` and `label`, and `split` if it has one."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TextIO

from tether.data.folder import PART_OF
from tether.data.kinds import START, encoding_of, kind_of
from tether.data.names import checked, odd
from tether.data.pictures import Pictures
from tether.errors import DataError
from tether.escaping import terminal
from tether.registry import did_you_mean
from tether.regular import require_regular

DELIMITERS = {".csv": ",", ".tsv": "\t"}
OTHERS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}
NEEDED = ("path", "label")
LARGEST, LONGEST_LINE = 2**30, 2**20
# What other programs write where there is no value, as pandas reads it.
NO_VALUE = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "Nan", "NAN", "None", "Null", "n/a", "nan", "null"}
)


@dataclass(frozen=True)
class _Row:
    line: int
    name: str
    kind: str
    part: str


def read_table(table: Path, *, root: Path | None = None, skip_bad: bool = False) -> Pictures:
    """List the pictures of a table; nothing outside one folder is read, except what a link within it leads to.

    Args:
        root: the folder that its paths are relative to; the table's own when not given.

    Raises:
        DataError: a column, a value or a picture is missing, or a path leaves the folder; the message names the line.
    """
    rows = list(_rows(table, table.parent if root is None else root))
    _refuse_twice(table, rows)
    lines: dict[str, int] = {}
    for row in rows:
        lines.setdefault(row.kind, row.line)
    notes = checked(lines, lambda name: _at(table, lines[name]))
    below = table.parent if root is None else root
    there = [os.path.lexists(below / row.name) for row in rows]
    present = [row for row, found in zip(rows, there, strict=True) if found]
    missing = [row for row, found in zip(rows, there, strict=True) if not found]
    if missing and not skip_bad:
        raise _absent(table, below, missing, len(rows))
    return Pictures.of_files(
        below,
        [row.name for row in present],
        [row.kind for row in present],
        classes=lines,
        split=[row.part for row in present] if rows[0].part else None,
        skipped=[(row.name, f"line {row.line}: no such file") for row in missing],
        notes=notes,
    )


def _rows(table: Path, root: Path) -> Iterator[_Row]:
    require_regular(table, DataError, most=LARGEST)
    _refuse_binary(table)
    delimiter, first, found = DELIMITERS[table.suffix.lower()], 0, False
    with table.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(_lines(table, stream), delimiter=delimiter, strict=True)
        try:
            columns = _columns(table, next(reader, []), delimiter)
            first = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield _row(table, first, columns, cells, root)
                    found = True
                first = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise _not_utf8(table, error) from None
        except csv.Error as error:
            raise DataError(
                f"{_at(table, max(first, 1))}: {error}",
                why="a cell that holds a delimiter, a quote or a new line stands in double quotes, a quote in it twice",
                fix="quote cells as CSV does",
            ) from None
    if not found:
        raise DataError(
            f"`{terminal(table)}` lists no pictures",
            why="it has a line of column names and nothing below",
            fix="add a line `path,label` for each",
        )


def _lines(table: Path, stream: TextIO) -> Iterator[str]:
    """The lines of a text, none of them so long that it fills the memory, or with a character that ends a C string."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{_at(table, number)} has more than {LONGEST_LINE:,} characters",
                why="a line names one picture and its label",
                fix="end each row with a new line",
            )
        if "\0" in line:
            raise DataError(
                f"{_at(table, number)}: it holds a zero byte",
                why="no path and no label has one, so this is no table, or a damaged one",
                fix="save it again as CSV in UTF-8",
            )
        yield line


def _refuse_binary(table: Path) -> None:
    """Refuse what is a table by its name only, before it is read."""
    with table.open("rb") as stream:
        start = stream.read(START)
    encoding = encoding_of(start) if b"\0" in start or start[:2] in {b"\xff\xfe", b"\xfe\xff"} else ""
    kind = kind_of(start)
    if encoding:
        raise DataError(
            f"`{terminal(table)}` is not UTF-8",
            why=f"it looks like {encoding}",
            fix="save it as UTF-8 (in a spreadsheet: CSV UTF-8)",
        )
    if kind and start and not kind.startswith("text"):
        raise DataError(
            f"`{terminal(table)}` is no table",
            why=f"it is {kind}",
            fix="save it as CSV in UTF-8: `path,label` and a line each",
        )


def _not_utf8(table: Path, error: UnicodeDecodeError) -> DataError:
    content = table.read_bytes()
    wrong = next((number for number, line in enumerate(content.splitlines(), 1) if not _is_utf8(line)), 1)
    looks = encoding_of(content[:LONGEST_LINE])
    return DataError(
        f"{_at(table, wrong)}: this is not UTF-8 ({error.reason}: byte 0x{error.object[error.start]:02x})",
        why=f"it looks like {looks}" if looks else "it looks like no text at all",
        fix="save it as UTF-8 (in a spreadsheet: CSV UTF-8)",
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _columns(table: Path, header: list[str], delimiter: str) -> list[str]:
    columns = [name.strip() for name in header]
    other = next((sign for sign in OTHERS if len(columns) == 1 and sign in columns[0] and sign != delimiter), None)
    for name in NEEDED:
        if name not in columns:
            why = f"the first line names the columns, among them `path` and `label`, {OTHERS[delimiter]} between"
            if other:
                why = f"its cells seem to be apart by {OTHERS[other]}, and by its name they are by {OTHERS[delimiter]}"
            raise DataError(
                f"{_at(table, 1)}: there is no column `{name}`",
                why=why,
                fix=_column_fix(name, columns, delimiter, other),
            )
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"{_at(table, 1)}: the column `{terminal(twice)}` is there twice",
            why="which of the two is meant is not known",
            fix="keep one of them",
        )
    return columns


def _column_fix(name: str, columns: list[str], delimiter: str, other: str | None) -> str:
    if other:
        rename = "rename it to end in .tsv" if other == "\t" else "rename it to end in .csv" if other == "," else ""
        return rename or f"save it with {OTHERS[delimiter]} between the cells"
    if not any(columns):
        return "write `path,label` as the first line"
    alike = next((one for one in columns if one.casefold() == name), None)
    return f"did you mean `{terminal(alike)}`?" if alike else terminal(did_you_mean(name, columns))


def _row(table: Path, line: int, columns: list[str], cells: list[str], root: Path) -> _Row:
    if len(cells) != len(columns):
        raise DataError(
            f"{_at(table, line)}: cells found: {len(cells)}, in the header: {len(columns)}",
            why="which cell is which is not known",
            fix=f"cells are apart by {OTHERS[DELIMITERS[table.suffix.lower()]]}; quote one that holds the sign",
        )
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    for name in NEEDED:
        if not row[name]:
            raise DataError(
                f"{_at(table, line)}: `{name}` is empty",
                why="every line names a picture and its class",
                fix="fill it in, or take the line out",
            )
    if row["label"] in NO_VALUE:
        raise DataError(
            f"{_at(table, line)}: the label is `{row['label']}`",
            why="programs write this where a value is missing, and it would be learned as a class",
            fix="fill it in, or take the line out; for a class of this name write another, such as `no value`",
        )
    if why := odd(row["label"]):
        raise DataError(f"{_at(table, line)}: `{terminal(row['label'])}` cannot be a label", why=why, fix="correct it")
    part = _part(table, line, row["split"]) if "split" in row else ""
    return _Row(line, _inside(table, line, row["path"], root), row["label"], part)


def _inside(table: Path, line: int, given: str, root: Path) -> str:
    """Return a path below the root, without needless dots and slashes."""
    path = PurePosixPath(given)
    what = f"{_at(table, line)}: `{terminal(given)}`"
    if path.is_absolute() or PureWindowsPath(given).drive:
        near = path.relative_to(root.absolute()) if path.is_relative_to(root.absolute()) else None
        raise DataError(
            f"{what} is an absolute path",
            why="nothing outside the folder of the table, or the one that data.root names, is read",
            fix=f"write `{terminal(near)}`"
            if near
            else "write it relative to that folder, or name another: --set data.root=FOLDER",
        )
    if ".." in path.parts:
        raise DataError(
            f"{what} leads out of a folder",
            why="nothing outside the folder of the table, or the one that data.root names, is read",
            fix="write it without `..`, or name another folder: --set data.root=FOLDER",
        )
    if len(given) > LONGEST_LINE // 256 or not path.parts:
        raise DataError(f"{what} is no path of a file", why="no file system has such names", fix="correct the path")
    return path.as_posix()


def _part(table: Path, line: int, given: str) -> str:
    part = PART_OF.get(given.lower())
    if part is None:
        raise DataError(
            f"{_at(table, line)}: `{terminal(given)}` is no split",
            why="a column `split` says of every picture in which part it is",
            fix=did_you_mean(given.lower(), PART_OF),
        )
    return part


def _refuse_twice(table: Path, rows: list[_Row]) -> None:
    first: dict[str, _Row] = {}
    for row in rows:
        before = first.setdefault(row.name, row)
        if before is not row:
            other = "" if before.kind == row.kind else f" with another label, `{terminal(before.kind)}`"
            raise DataError(
                f"{_at(table, row.line)}: `{terminal(row.name)}` is listed at line {before.line} already{other}",
                why="the same picture would be of two classes" if other else "it could be trained on and tested on",
                fix="take one of the two lines out",
            )


def _absent(table: Path, root: Path, missing: list[_Row], total: int) -> DataError:
    first = ", ".join(f"`{terminal(row.name)}` (line {row.line})" for row in missing[:3])
    first += ", …" if len(missing) > 3 else ""
    turned = "\\" in missing[0].name and os.path.lexists(root / missing[0].name.replace("\\", "/"))
    return DataError(
        f"`{terminal(table)}`: {len(missing)} of {total} pictures are not there: {first}",
        why=f"paths are relative to `{terminal(root)}`" + (", and their folders are apart by `/`" if turned else ""),
        fix="write `/` where `\\` stands" if turned else "correct the paths; --set data.root=FOLDER; or --skip-bad",
    )


def _at(table: Path, line: int) -> str:
    return f"`{terminal(table)}`, line {line}"

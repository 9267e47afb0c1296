"""Tables: text that is no table, cells that are no path or no label, and paths that lead elsewhere."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from faults.case import Case, canary
from faults.pictures import READ, classes, encoded, plan, sparse

ROWS = [f"{kind}/{number}.png,{kind}" for kind in "ab" for number in range(3)]
GOOD = "path,label\n" + "\n".join(ROWS) + "\n"


def table(content: bytes | str, folder: Path, name: str = "list.csv", words: tuple[object, ...] = ()) -> list[object]:
    """The words for a table beside two classes of three pictures."""
    (classes(folder) / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return plan(folder / name, *words)


def row(text: str) -> str:
    """A good table with one more row, the eighth line."""
    return f"{GOOD}{text}\n"


def thing(make: Callable[[Path], object], folder: Path) -> list[object]:
    """The words for what is called a table and is no file."""
    make(classes(folder) / "list.csv")
    return plan(folder / "list.csv")


def outside(path: str, folder: Path) -> list[object]:
    """A table in a folder, which lists a picture beside the folder."""
    classes(folder / "inner")
    (folder / "secret.png").write_bytes(encoded("PNG"))
    (folder / "inner" / "list.csv").write_text(row(path.format(folder=folder) + ",a"))
    return plan(folder / "inner" / "list.csv")


def linked(folder: Path) -> list[object]:
    """A link within the folder, to a picture outside."""
    classes(folder / "inner")
    (folder / "elsewhere.png").write_bytes(encoded("PNG"))
    (folder / "inner" / "a" / "link.png").symlink_to("../../elsewhere.png")
    (folder / "inner" / "list.csv").write_text(row("a/link.png,a"))
    return plan(folder / "inner" / "list.csv")


def rooted(root: str, folder: Path) -> list[object]:
    """A table in a folder of its own, whose pictures lie beside that."""
    classes(folder / "photos")
    (folder / "tables").mkdir()
    (folder / "tables" / "list.csv").write_text(GOOD)
    return plan(folder / "tables" / "list.csv", "--set", f"data.root={folder / root}")


def listed_pipe(folder: Path) -> list[object]:
    os.mkfifo(classes(folder) / "a" / "pipe.png")
    (folder / "list.csv").write_text(row("a/pipe.png,a"))
    return plan(folder / "list.csv")


def formula(folder: Path) -> list[object]:
    return table(GOOD.replace(",b", f",=cmd|' /C touch {canary(folder)}'!A0"), folder)


TEXTS = [
    Case(f"a table {name}", partial(table, content), says)
    for name, content, says in (
        ("that is empty", "", ("line 1: there is no column `path`", "write `path,label`")),
        ("of empty lines", "\n\n\n", ("line 1: there is no column `path`",)),
        ("with a header only", "path,label\n", ("lists no pictures",)),
        ("with a header and spaces", "path,label\n\n\n", ("lists no pictures",)),
        ("without a header", "\n".join(ROWS), ("line 1: there is no column `path`",)),
        ("without a label", "path\na/0.png\n", ("line 1: there is no column `label`",)),
        ("with a column misspelled", GOOD.replace("label", "lable"), ("no column `label`", "did you mean `lable`?")),
        ("with columns in capitals", GOOD.replace("path", "PATH"), ("no column `path`", "did you mean `PATH`?")),
        ("with a column twice", "path,label,label\n", ("the column `label` is there twice",)),
        ("with semicolons", GOOD.replace(",", ";"), ("seem to be apart by semicolons", "save it with commas")),
        ("with tabs called .csv", GOOD.replace(",", "\t"), ("apart by tabs", "rename it to end in .tsv")),
        ("with bars", GOOD.replace(",", "|"), ("apart by bars",)),
        ("with a cell too many", row("a/0.png,a,b"), ("line 8: cells found: 3, in the header: 2",)),
        ("with a cell too few", row("a/0.png"), ("line 8: cells found: 1, in the header: 2",)),
        ("with a quote left open", row('"a/9.png,a'), ("line 8: unexpected end of data",)),
        ("with text after a quote", row('"a/9.png"x,a'), ("line 8:",)),
        ("of one endless line", "path,label\n" + "a" * 10_000_000, ("line 2 has more than 1,048,576 characters",)),
        ("with an endless header", "a" * 10_000_000, ("line 1 has more than 1,048,576 characters",)),
        ("with a long cell", row(f"a/0.png,{'a' * 200_000}"), ("line 8: field larger than field limit",)),
        ("with an endless quote", "path,label\n" + '"' + "a\n" * 500_000, ("line 2:", "field limit")),
        ("of noise", np.random.default_rng(0).bytes(5000), ("is not UTF-8",)),
        ("of zero bytes", bytes(5000), ("is no table", "nothing but zero bytes")),
        ("with a zero byte", row("a/\0.png,a"), ("line 8", "zero byte")),
        ("in UTF-16", GOOD.encode("utf-16"), ("is not UTF-8", "it looks like UTF-16")),
        ("in UTF-16 without a mark", GOOD.encode("utf-16-le"), ("is not UTF-8", "it looks like UTF-16")),
        ("in UTF-16, the other way", GOOD.encode("utf-16-be"), ("is not UTF-8", "it looks like UTF-16")),
        ("in UTF-32", GOOD.encode("utf-32"), ("is not UTF-8", "it looks like UTF-32")),
        ("in Latin-1", row("a/0.png,Käfer").encode("latin-1"), ("line 8: this is not UTF-8", "looks like Latin-1")),
        (
            "in Latin-1 far down",
            (GOOD * 2000 + "Käfer").encode("latin-1"),
            ("line 14001: this is not UTF-8", "Latin-1"),
        ),
        ("that is a workbook", b"PK\x03\x04" + bytes(99), ("is no table", "a ZIP archive, as .xlsx")),
        ("that is an old workbook", b"\xd0\xcf\x11\xe0" + bytes(99), ("is no table", "as .xls is")),
        ("that is packed", b"\x1f\x8b\x08" + bytes(99), ("is no table", "a gzip archive")),
        ("that is a page", "<!doctype html><html>", ("is no table", "an HTML page")),
        ("that is a git-lfs pointer", "version https://git-lfs.github.com/spec/v1\n", ("a git-lfs pointer",)),
        ("that is a picture", encoded("PNG"), ("is no table", "a PNG")),
        ("that is JSON", '{"path": "a/0.png"}', ("is no table", "JSON")),
    )
]

LABELS = [
    Case(f"the label {label!r}", partial(table, row(f"a/0.png,{label}")), ("line 8: the label is",))
    for label in ("nan", "NaN", "null", "NULL", "None", "NA", "N/A", "n/a", "<NA>", "#N/A", "-nan")
] + [
    Case(f"a label {name}", partial(table, row(f"{path},{label}")), says)
    for name, path, label, says in (
        ("that is empty", "a/9.png", "", ("line 8: `label` is empty",)),
        ("of spaces", "a/9.png", "   ", ("line 8: `label` is empty",)),
        ("of a wide space", "a/9.png", "\u3000", ("line 8: `label` is empty",)),
        ("with a newline", "a/9.png", '"a\nb"', (r"line 8: `a\nb` cannot be a label",)),
        ("that clears the screen", "a/9.png", "\x1b[2J", (r"line 8: `\x1b[2J` cannot be a label",)),
        ("that is not seen", "a/9.png", "\u200b", ("ZERO WIDTH SPACE",)),
        ("written backwards", "a/9.png", "\u202ea", ("RIGHT-TO-LEFT OVERRIDE",)),
        ("of 300 letters", "a/9.png", "x" * 300, ("it has 300 characters",)),
        ("of one picture", "a/9.png", "c", ("pictures are not there",)),
    )
]

PATHS = [
    Case(f"a path {name}", partial(table, row(f"{path},{label}")), says)
    for name, path, label, says in (
        ("that is empty", "", "a", ("line 8: `path` is empty",)),
        ("of a dot", ".", "a", ("line 8: `.` is no path of a file",)),
        ("that is a folder", "a", "a", ("`a` (it is a folder, not a file)",)),
        ("that is not there", "a/9.png", "a", ("1 of 7 pictures are not there: `a/9.png` (line 8)",)),
        ("with backslashes", r"a\0.png", "a", ("folders are apart by `/`", r"write `/` where `\` stands")),
        ("listed twice", "a/0.png", "a", ("line 8: `a/0.png` is listed at line 2 already", "trained on and tested on")),
        ("listed twice in other words", "./a//0.png", "a", ("line 8: `a/0.png` is listed at line 2 already",)),
        ("listed under two labels", "a/0.png", "b", ("at line 2 already with another label, `a`", "of two classes")),
        ("of another system", r"C:\photos\0.png", "a", ("line 8:", "is an absolute path")),
        ("of a share", r"\\server\photos\0.png", "a", ("line 8:", "is an absolute path")),
        ("longer than any", "a/" + "x" * 5000, "a", ("line 8:", "is no path of a file")),
        ("with a long name", "a/" + "x" * 300, "a", ("1 of 7 pictures are not there",)),
        ("of a device", "/dev/zero", "a", ("is an absolute path",)),
        ("of a home", "~/0.png", "a", ("1 of 7 pictures are not there",)),
        ("of a page", "https://example.org/0.png", "a", ("1 of 7 pictures are not there",)),
    )
] + [
    Case(f"a path that leads outside: {path}", partial(outside, path), ("line 8:", says))
    for path, says in (
        ("../secret.png", "leads out of a folder"),
        ("a/../../secret.png", "leads out of a folder"),
        ("a/../a/0.png", "leads out of a folder"),
        ("{folder}/secret.png", "is an absolute path"),
        ("{folder}/inner/a/0.png", "is an absolute path"),
        ("/etc/hostname", "is an absolute path"),
    )
]

SPLITS = [
    Case(f"a split {name}", partial(table, "path,label,split\n" + rows), says)
    for name, rows, says in (
        ("that is none", "a/0.png,a,tran\n", ("line 2: `tran` is no split", "did you mean `train`?")),
        ("that is empty", "a/0.png,a,\n", ("line 2: `` is no split",)),
        ("of test only", "".join(f"{one},test\n" for one in ROWS), ("class `a` has pictures in validation or test",)),
        (
            "with a label only in test",
            "".join(f"{one},train\n" for one in ROWS[:5]) + "b/2.png,c,test\n",
            ("class `c` has",),
        ),
        (
            "with a class only in test",
            "".join(f"{one},{'train' if one[0] == 'a' else 'test'}\n" for one in ROWS),
            ("class `b` has pictures in validation or test and none in train",),
        ),
    )
]

THINGS = [
    Case(f"a table that is {name}", partial(thing, make), says)
    for name, make, says in (
        ("a pipe", os.mkfifo, ("a named pipe, not a file",)),
        ("a terabyte", sparse, ("has 1,099,511,627,776 bytes",)),
        ("an endless device", lambda path: path.symlink_to("/dev/zero"), ("a device, not a file",)),
        ("a link to nothing", lambda path: path.symlink_to("gone.csv"), ("`gone.csv`, which is not there",)),
        ("a link to itself", lambda path: path.symlink_to("list.csv"), ("leads to itself",)),
        ("an empty folder", Path.mkdir, ("holds no class folders",)),
    )
]

ONE = [
    Case(
        "a table of one class", partial(table, "path,label\n" + "\n".join(ROWS[:3])), ("there is one class only, `a`",)
    ),
    Case("a root without the pictures", partial(rooted, "tables"), ("6 of 6 pictures are not there",)),
    Case("a table of pages", partial(table, "path,label\n" + "list.csv,a\n"), ("it is text",)),
    Case("a table that lists a pipe", listed_pipe, ("`a/pipe.png` (it is a named pipe, not a file)",)),
    Case("labels that look the same", partial(table, row("a/9.png,caf\u00e9\na/8.png,cafe\u0301")), ("look the same",)),
    Case("a table called .txt", partial(table, GOOD, name="list.txt"), ("neither .csv nor .tsv",)),
    Case("a table called .tsv with commas", partial(table, GOOD, name="list.tsv"), ("apart by commas", "end in .csv")),
]

HANDLED = [
    Case(f"a table {name}", partial(table, content), (READ,), code=0)
    for name, content in (
        ("with a mark", b"\xef\xbb\xbf" + GOOD.encode()),
        ("with Windows' line ends", GOOD.replace("\n", "\r\n")),
        ("with an old Mac's line ends", GOOD.replace("\n", "\r")),
        ("without a last line end", GOOD.rstrip()),
        ("with empty lines", GOOD.replace("\n", "\n\n")),
        ("with spaces around", GOOD.replace(",", " , ")),
        ("with other columns", "note,path,label\n" + "".join(f'"a, ""b""\nc",{one}\n' for one in ROWS)),
        ("with dots before", "path,label\n" + "".join(f"./{one}\n" for one in ROWS)),
        ("with labels in other scripts", GOOD.replace(",a", ",犬").replace(",b", ",כלב")),
        ("with labels of HTML", GOOD.replace(",a", ",<img src=x onerror=alert(1)>")),
        ("with labels of numbers", GOOD.replace(",a", ",1").replace(",b", ",1.0")),
        ("with labels of a comma", GOOD.replace(",a", ',"a, b"')),
        ("with the label none", GOOD.replace(",a", ",none")),
    )
] + [
    Case("labels that are formulas", formula, (READ,), code=0),
    Case("a link within the folder to a picture outside", linked, (READ,), code=0),
    Case("a table that is a folder of classes", lambda folder: plan(classes(folder / "x.csv")), (READ,), code=0),
    Case("a table in capitals", partial(table, GOOD, name="LIST.CSV"), (READ,), code=0),
    Case("pictures below another root", partial(rooted, "photos"), (READ,), code=0),
    Case("tabs", partial(table, GOOD.replace(",", "\t"), name="list.tsv"), (READ,), code=0),
    Case(
        "labels that differ in case",
        partial(table, GOOD.replace(",b", ",A")),
        (READ, "kept apart: `A` and `a`"),
        code=0,
    ),
    Case(
        "missing pictures that may be left out",
        partial(table, row("a/9.png,a"), words=("--skip-bad",)),
        (READ, "1 left out because they cannot be read, first `a/9.png` (line 8: no such file)"),
        code=0,
    ),
]

CASES = [*TEXTS, *LABELS, *PATHS, *SPLITS, *THINGS, *ONE, *HANDLED]

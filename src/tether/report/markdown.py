"""Markdown: a report as GitHub shows it, without figures."""

import re
from collections.abc import Iterator

from tether.escaping import markdown as code
from tether.escaping import printable
from tether.report.scene import Scene
from tether.report.section import Code, Findings, Folded, Part, Prose, Section, Shown
from tether.report.story import story
from tether.report.table import Cell, Table
from tether.report.words import counted
from tether.study.comparison import Comparison

SPECIAL = re.compile(r"[\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_])|^[#+\-=]|^\d+(?=[.)](?:\s|$))|(?<=:)//|(?<=www)\.")
BESIDE = "tables/{name}.csv"
LISTED = 500  # rows of a table


def markdown(found: Comparison) -> str:
    """The same summary and tables as in the page; what the page folds is in the CSV files beside it."""
    scene = Scene(found)
    parts = [f"# {plain(found.title)}", *(text for section in story(scene) for text in _section(section))]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    r"""A sentence in which Markdown finds no mark of its own.

    >>> print(plain("l2_sp is <b>best</b> [here](https://a.b)"))
    l2_sp is \<b\>best\</b\> \[here\](https:\//a.b)
    """
    return SPECIAL.sub(lambda found: _escaped(found[0]), printable(text).strip())


def rows(table: Table) -> str:
    """A table of GitHub's kind."""
    lines = [
        "| " + " | ".join(plain(column.head) for column in table.columns) + " |",
        "|" + "|".join("---:" if column.is_number else "---" for column in table.columns) + "|",
        *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows[:LISTED]),
    ]
    return "\n".join(lines)


def _section(section: Section) -> Iterator[str]:
    yield f"## {plain(section.title)}"
    for part in section.parts:
        yield from _part(part)
    if section.sheets:
        yield "In full: " + ", ".join(f"[{name}.csv]({BESIDE.format(name=name)})" for name in section.sheets) + "."


def _part(part: Part) -> Iterator[str]:
    match part:
        case Prose(lines, True):
            yield "\n".join(f"- {plain(line)}" for line in lines)
        case Prose(lines):
            yield from map(plain, lines)
        case Findings(groups):
            for name, lines in groups:
                yield f"### {code(name)}"
                yield "\n".join(f"- {plain(line)}" for line in lines)
        case Shown(table):
            yield from _table(table)
        case Folded(_, tables) if tables and tables[0].name in ("methods", "strengths", "labels", "calibration"):
            for table in tables:
                yield from _table(table)
        case Code(says, text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            yield f"{plain(says)}:"
            yield f"{fence}\n{text.rstrip()}\n{fence}"
        case _:
            return


def _table(table: Table) -> Iterator[str]:
    if table.rows:
        yield f"**{plain(table.caption)}**" + (f" — {code(table.group)}" if table.group else "")
        yield rows(table)
        if len(table.rows) > LISTED:
            yield f"{counted(len(table.rows) - LISTED, 'more row')} in {BESIDE.format(name=table.name)}."


def _cell(cell: Cell) -> str:
    text = code(cell.text) if cell.is_name else plain(cell.text)
    return f"{text} {plain(cell.under)}" if cell.under else text


def _escaped(found: str) -> str:
    return f"{found}\\" if found.isdigit() else f"\\{found}"

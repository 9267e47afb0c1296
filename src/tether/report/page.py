"""Page: a report as one HTML file that opens from a disk, without network and without scripts."""

import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tether.escaping import printable, terminal
from tether.report.palette import DARK, LIGHT, variables
from tether.report.scene import Scene
from tether.report.sheet import sheets
from tether.report.story import every_table, story
from tether.report.table import Cell, Column
from tether.report.words import counted, lasting, said, shortened
from tether.study.comparison import Comparison

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
LIMIT, FOLDED_LIMIT = 400, 150  # rows of a table in the page
CARRIED = 300_000  # bytes of a CSV file that the page carries itself
CLASS = 14  # letters of a class in a matrix


def page(found: Comparison, *, root: str = ".") -> str:
    """The whole page.

    Args:
        root: from the folder of the page to that of the study, so that links to runs hold.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    from tether import __version__

    pages = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=False)
    pages.filters |= {"terminal": terminal, "seen": printable, "short": _short, "lines": _lines}
    pages.filters["href"] = lambda folder: _href(root, folder)
    pages.globals["tone"] = _tone
    scene = Scene(found, root)
    return pages.get_template("template.html").render(
        found=found,
        sections=story(scene),
        facts=list(_facts(found)),
        downloads={name: _download(name, text, root) for name, text in sheets(every_table(scene)).items()},
        style=Markup(_style()),
        policy=POLICY,
        version=__version__,
        limit=LIMIT,
        folded_limit=FOLDED_LIMIT,
    )


def _style() -> str:
    light, dark = variables(LIGHT), variables(DARK)
    schemes = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}@media print{{:root{{{light}}}}}"
    return schemes + (HERE / "style.css").read_text("utf-8").replace("\n", "")


def _facts(found: Comparison) -> Iterator[str]:
    runs = {run.folder for group in found.groups for one in group.candidates for run in one.runs}
    yield counted(len(found.groups), "condition")
    yield counted(len({one.name for group in found.groups for one in group.candidates}), "candidate")
    yield counted(len(found.seeds), "seed")
    yield counted(len(runs), "run")
    yield lasting(found.seconds)
    yield f"compared with {said(found.against)}"


def _download(name: str, text: str, root: str) -> str:
    content = text.encode()
    if len(content) > CARRIED:
        return _href(root, f"tables/{name}.csv")
    return f"data:text/csv;charset=utf-8;base64,{b64encode(content).decode()}"


def _href(root: str, folder: str) -> str:
    """A relative address; nothing in a name makes it another site's or a script's."""
    return "./" + quote(os.fsencode(os.path.normpath(f"{root}/{folder}")))


def _tone(column: Column, cell: Cell) -> str:
    if column.keys != ("verdict",):
        return ""
    if cell.text in ("better", "transfer helps"):
        return "good"
    return "bad" if cell.text in ("worse", "negative transfer") else ""


def _short(name: str) -> str:
    return shortened(name, CLASS)


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.splitlines()))

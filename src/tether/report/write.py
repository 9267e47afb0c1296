"""Write: a report into the folder of its study, or as one file somewhere else."""

import os
from collections.abc import Callable
from pathlib import Path

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.files import require_new, write_durably, write_refusal
from tether.report.markdown import markdown
from tether.report.page import page
from tether.report.result import to_json
from tether.report.scene import Scene
from tether.report.sheet import sheets
from tether.report.story import every_table
from tether.study.comparison import Comparison

TABLES = "tables"
KINDS: dict[str, Callable[[Comparison, str], str]] = {
    ".html": lambda found, root: page(found, root=root),
    ".md": lambda found, _: markdown(found),
    ".json": lambda found, _: to_json(found),
}


def write_report(found: Comparison, folder: Path) -> list[Path]:
    """Write `report.html`, `report.md`, `result.json` and `tables/*.csv` into a study's folder, over those of before.

    Raises:
        MachineError: the disk is full, read-only or broken.
        InputError: the folder may not be written to.
    """
    tables = folder / TABLES
    try:
        tables.mkdir(exist_ok=True)
    except OSError as error:
        raise write_refusal(error, tables) from error
    texts = {folder / "report.html": page(found), folder / "report.md": markdown(found)}
    texts[folder / "result.json"] = to_json(found)
    rows = {tables / f"{name}.csv": text for name, text in sheets(every_table(Scene(found))).items()}
    for path, text in (rows | texts).items():
        write_durably(path, text)
    return [*texts, tables]


def check_place(path: Path) -> None:
    """Refuse a place that one file of a report cannot have.

    Raises:
        SettingsError: its suffix says no format.
        InputError: something is there.
    """
    if path.suffix.lower() not in KINDS:
        raise SettingsError(
            f"`--out {terminal(path)}` does not say what to write",
            why=f"a report is {', '.join(KINDS)}, by the end of its name",
            fix=f"--out {terminal(path.with_suffix('.html')) if path.name else 'report.html'}",
        )
    require_new(path, without="it is written into the study")


def write_one(found: Comparison, folder: Path, path: Path) -> None:
    """Write one file of a report where nothing is; its links lead to the runs in the study's folder.

    Raises:
        SettingsError: its suffix says no format.
        InputError: something is there, or the place may not be written to.
        MachineError: the disk is full, read-only or broken.
    """
    check_place(path)
    root = os.path.relpath(folder.absolute(), path.absolute().parent)
    write_durably(path, KINDS[path.suffix.lower()](found, root))

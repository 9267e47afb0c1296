"""Progress on a terminal: a bar with rate and time left; nothing where nobody looks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tether.escaping import terminal


class Advance(Protocol):
    """Called after each step."""

    def __call__(self, told: str) -> None:
        """Move on by one step and show `told`."""


@contextmanager
def progress(total: int, what: str, *, done: int = 0, quiet: bool | None = None) -> Iterator[Advance]:
    """Show a bar on stderr while it is a terminal, unless `quiet`."""
    if quiet or (quiet is None and not sys.stderr.isatty()):
        yield lambda told: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(terminal(what), total=total, completed=done, told="", rate="")

        def advance(told: str) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, told=told, rate=f"{speed:.1f} steps/s" if speed else "")

        yield advance

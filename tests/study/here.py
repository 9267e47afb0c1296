"""Studies made without processes of their own, and what is compared of the runs they leave."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from faults.kills import APART, COMPARED
from tether.study.crew import Answer, Crew, Task
from tether.study.study import Study
from tether.study.worker import answered

T = TypeVar("T")
Log = list[tuple[str, str]]
EQUAL = (*COMPARED, "drift.json")


class Here(Crew[T]):
    """A crew without processes, which notes what was done in which folder."""

    log: Log

    def answers(self, tasks: Iterator[tuple[T, Task]]) -> Iterator[tuple[T, Answer]]:
        for run, task in tasks:
            answer = through_json(answered(through_json(task)))
            if task["do"] == "fit":
                self.log.append((Path(task["out"]).name, "fresh" if answer.get("fresh") else next(iter(answer))))
            yield run, answer


def through_json(content: Any) -> Any:
    """As it comes out of a pipe."""
    return json.loads(json.dumps(content))


def made_here(patch: pytest.MonkeyPatch) -> Log:
    """Let all runs be made in this process; the log of them."""
    Here.log = []
    patch.setattr("tether.study.study.Crew", Here)
    return Here.log


def run_here(study: Study, folder: Path) -> Path:
    """Make a study in this process, for a fixture of the session."""
    with pytest.MonkeyPatch.context() as patch:
        made_here(patch)
        study.run(folder)
    return folder


def same(one: Path, other: Path) -> list[str]:
    """The files of two run folders that are not equal."""
    found = [name for name in EQUAL if _bytes(one / name) != _bytes(other / name)]
    first, second = (json.loads((run / "outcome.json").read_text()) for run in (one, other))
    kept = [{key: value for key, value in outcome.items() if key not in APART} for outcome in (first, second)]
    return found + (["outcome.json"] if kept[0] != kept[1] else [])


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def runs_in(folder: Path) -> list[Path]:
    return sorted(one for one in (folder / "runs").iterdir() if one.is_dir() and not one.is_symlink())


def done_in(folder: Path) -> list[Path]:
    return [one for one in runs_in(folder) if (one / "manifest.json").exists()]


def stamps(folder: Path) -> dict[Path, int]:
    """When each file of the runs that have ended was written."""
    return {one: one.stat().st_mtime_ns for run in done_in(folder) for one in run.iterdir()}

"""Reading: what one run of a study left in its folder."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from tether.answers import Answers
from tether.checkpoint.description import KEY
from tether.errors import DataError
from tether.files import verify_manifest
from tether.record import ENVIRONMENT, OUTCOME
from tether.record import METRICS as METRICS_FILE
from tether.study.comparison import METRICS, Metrics, RunResult
from tether.study.place import RUNS

ANSWERS, SPLIT, PLAN, DRIFT, WEIGHTS = (
    "answers.safetensors",
    "split.json",
    "plan.json",
    "drift.json",
    "model.safetensors",
)
PARTS, MOVED = ("train", "validation", "test"), ("name", "norm", "reference", "mars")
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """The files of a run that has ended well, each read when it is asked for, as its manifest says it was written.

    Raises:
        CheckpointError: a file is absent or differs from what was written.
        DataError: what it holds is not what a run writes.
    """

    folder: Path
    seed: int

    def verify(self) -> None:
        """Hold every file against the manifest, and read all that a comparison needs."""
        verify_manifest(self.folder)
        _ = (self.outcome, self.environment, self.answers, self.split, self.classes, self.drift, self.rows, self.held)

    @cached_property
    def outcome(self) -> Mapping[str, Any]:
        """All of `outcome.json`."""
        return self._read(OUTCOME, _table)

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Where it ran."""
        return self._read(ENVIRONMENT, _table)

    @cached_property
    def answers(self) -> Answers | None:
        """What it said to each test picture; none without test pictures."""
        if not (self.folder / ANSWERS).exists():
            return None
        verify_manifest(self.folder, only=(ANSWERS,))
        return Answers.read(self.folder / ANSWERS)

    @cached_property
    def split(self) -> Mapping[str, Any]:
        """Which pictures were in which part."""
        return self._read(SPLIT, lambda text: _having(_table(text), *PARTS, "digest", "test_digest"))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the head."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.folder / WEIGHTS, framework="np") as file:
                about = json.loads((file.metadata() or {})[KEY])
            return tuple(map(str, about["classes"]))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _strange(self.folder / WEIGHTS, str(error)) from None

    @cached_property
    def drift(self) -> tuple[Mapping[str, Any], ...]:
        """How far each transferred parameter moved; none without a source."""
        if not (self.folder / DRIFT).exists():
            return ()
        return self._read(DRIFT, lambda text: tuple(_having(row, *MOVED) for row in _table(text)["layers"]))

    @cached_property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """A row an epoch."""
        return self._read(METRICS_FILE, lambda text: tuple(map(_table, text.splitlines())))

    @cached_property
    def held(self) -> tuple[float | None, str | None]:
        """The strength of the L2 that holds most transferred values, and what to; none where there is none."""
        return self._read(PLAN, lambda text: _held(_table(text)["parameters"]))

    def result(self, measure: str) -> RunResult:
        """What the report tells of it."""
        outcome = self.outcome
        return RunResult(
            self.seed,
            Path(RUNS) / self.folder.name,
            "done",
            test=_metrics(outcome.get("test")),
            validation=_metrics(outcome.get("validation")),
            kept=kept(outcome, measure),
            outcome=outcome,
        )

    def _read(self, name: str, parse: Callable[[str], T]) -> T:
        verify_manifest(self.folder, only=(name,))
        try:
            return parse((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _strange(self.folder / name, f"{type(error).__name__}: {error}") from None


def kept(outcome: Mapping[str, Any], measure: str) -> float | None:
    """What a run keeps of the source, by a measure of `MEASURES`; None where it was not measured."""
    if measure not in MEASURES:
        return None
    section, *keys = MEASURES[measure]
    found: Any = outcome.get(section)
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


MEASURES: Mapping[str, tuple[str, ...]] = {
    "accuracy on the source task, by the source's head": ("retention", "kept"),
    "agreement with the source model on the unlabelled pictures": ("agreement", "unlabelled", "agreement"),
    "agreement with the source model on target pictures": ("agreement", "target", "agreement"),
}


def _table(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("it is no JSON object")
    return found


def _having(table: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        table[name]
    return table


def _held(rows: Iterable[Mapping[str, Any]]) -> tuple[float | None, str | None]:
    found: dict[tuple[float, str], int] = {}
    for row in rows:
        if row["fate"].startswith("transferred") and row["strength"] is not None:
            key = (float(row["strength"]), str(row["reference"]))
            found[key] = found.get(key, 0) + prod(row["shape"])
    return max(found, key=lambda key: found[key]) if found else (None, None)


def _metrics(found: Any) -> Metrics:
    if not isinstance(found, Mapping):
        return {}
    return {name: float(found[name]) for name in METRICS if isinstance(found.get(name), int | float)}


def _strange(path: Path, why: str) -> DataError:
    return DataError(
        f"`{path}` is not what a run writes: {why}",
        why="its digest holds, so that another program or version wrote it",
        fix="remove the folder of this run, and give the command of the study again",
    )

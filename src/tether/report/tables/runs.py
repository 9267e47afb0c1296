"""Runs: every run of a group, and those that failed."""

from tether.report.table import Cell, Column, Table
from tether.report.words import counted
from tether.study.comparison import METRICS, Comparison, Group


def runs(group: Group) -> Table:
    """A row a run."""
    columns = (
        Column.of("candidate", "candidate"),
        Column.of("seed", "seed", number=True),
        Column.of("folder", "folder"),
        Column.of("status", "status"),
        Column.of("error", "error"),
        Column.of("seconds", "seconds", number=True),
        Column.of("validation accuracy", "validation_accuracy", number=True),
        *(Column.of(name, name, number=True) for name in METRICS),
        Column.of("kept", "kept", number=True),
    )
    rows = tuple(
        (
            Cell.name(one.name),
            Cell.count(run.seed),
            Cell.name(run.folder.as_posix()),
            Cell.words(run.status),
            Cell.name(run.error),
            Cell.brief(_seconds(run.outcome.get("seconds"))),
            Cell.number(run.validation.get("accuracy")),
            *(Cell.number(run.test.get(name)) for name in METRICS),
            Cell.number(run.kept),
        )
        for one in group.candidates
        for run in one.runs
    )
    return Table("runs", "Every run", columns, rows, group.name, heads=2)


def failures(found: Comparison) -> Table:
    """A row a run that failed."""
    columns = (
        Column.of("candidate", "candidate"),
        Column.of("condition", "condition"),
        Column.of("seed", "seed", number=True),
        Column.of("error", "error"),
    )
    rows = {
        run.folder: (Cell.name(one.name), Cell.name(group.name), Cell.count(run.seed), Cell.name(run.error))
        for group in found.groups
        for one in group.candidates
        for run in one.runs
        if run.status == "failed"
    }
    return Table("failed", counted(len(rows), "run that failed", "runs that failed"), columns, tuple(rows.values()))


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None

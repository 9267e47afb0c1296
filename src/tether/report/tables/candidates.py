"""Candidates: every configuration that was tried, with every metric."""

from tether.report.chosen import runs_at
from tether.report.table import Cell, Column, Table
from tether.report.tables.differences import metric_name
from tether.study.comparison import METRICS, Group


def candidates(group: Group, at: int) -> Table:
    """A row a candidate."""
    names = [name for name in METRICS if any(name in one.means for one in group.candidates)]
    if any(one.kept is not None for one in group.candidates):
        names.insert(1, "kept")
    columns = (
        Column.of("candidate", "candidate"),
        Column.of("method", "method"),
        Column.of("λ", "strength", number=True),
        Column.of("toward", "reference"),
        Column.of("runs", "runs", number=True),
        Column.of("validation", "validation_accuracy", number=True),
        *(Column.interval(metric_name(name), name) for name in names),
        Column.of("seconds", "seconds", number=True),
    )
    rows = tuple(
        (
            Cell.name(one.name, runs_at(group, at, one.name)),
            Cell.method(one.method),
            Cell.brief(one.strength),
            Cell.name(one.reference) if one.reference else Cell.words(""),
            Cell(f"{len(one.done)}/{len(one.runs)}", (len(one.done),)),
            Cell.number(one.validation[0] if one.validation else None),
            *(Cell.mean(one.kept if name == "kept" else one.means.get(name)) for name in names),
            Cell.brief(one.seconds or None),
        )
        for one in group.candidates
    )
    caption = f"{len(rows):,} candidates on this test set; means and intervals over seeds"
    return Table("candidates", caption, columns, rows, group.name)

"""Strengths: what every strength of every penalty comes to."""

from tether.report.chosen import runs_at
from tether.report.table import Cell, Column, Table
from tether.study.comparison import Group


def strengths(group: Group, at: int) -> Table:
    """A row a strength of a penalty."""
    columns = (
        Column.of("penalty", "method"),
        Column.of("toward", "reference"),
        Column.of("λ", "strength", number=True),
        Column.of("candidate", "candidate"),
        Column.interval("accuracy", "accuracy"),
        Column.interval("kept", "kept"),
        Column.interval("points on new data", "new_data"),
        Column.of("against", "against"),
        Column.of("verdict", "verdict"),
    )
    rows = []
    for sweep in group.sweeps:
        told = {one.ours: one for one in sweep.contrasts}
        for name in sweep.candidates:
            one, contrast = group.candidate(name), told.get(name)
            rows.append(
                (
                    Cell.method(sweep.method),
                    Cell.name(sweep.reference),
                    Cell.brief(one.strength),
                    Cell.name(name, runs_at(group, at, name)),
                    Cell.mean(one.means.get("accuracy")),
                    Cell.mean(one.kept),
                    Cell.points(contrast.interval if contrast else None),
                    Cell.method(contrast.theirs) if contrast else Cell.words(""),
                    Cell.words(_verdict(contrast.ours, contrast.winner) if contrast else ""),
                )
            )
    caption = "Every strength; the differences of one penalty hold together"
    return Table("strengths", caption, columns, tuple(rows), group.name, heads=3)


def _verdict(ours: str, winner: str | None) -> str:
    if winner is None:
        return "within the noise"
    return "better" if winner == ours else "worse"

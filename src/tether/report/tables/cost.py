"""Cost: how long the runs of every method take."""

from tether.report.table import Cell, Column, Table
from tether.report.words import lasting, number
from tether.study.comparison import Group


def cost(group: Group) -> Table:
    """A row a method, over all of its candidates."""
    columns = (
        Column.of("method", "method"),
        Column.of("candidates", "candidates", number=True),
        Column.of("runs", "runs", number=True),
        Column.of("seconds a run", "seconds_mean", number=True),
        Column.of("all runs", "seconds", number=True),
    )
    rows = []
    for method in group.methods:
        tried = [one for one in group.candidates if one.name in method.candidates]
        runs = sum(len(one.done) for one in tried)
        total = sum(one.seconds * len(one.done) for one in tried)
        rows.append(
            (
                Cell.method(method.name),
                Cell.count(len(method.candidates)),
                Cell.count(runs),
                Cell(number(total / runs if runs else None, 1), (total / runs if runs else None,)),
                Cell(lasting(total), (total,)),
            )
        )
    return Table("cost", "Time of one process by method", columns, tuple(rows), group.name)

"""History: a row an epoch of each chosen candidate."""

from tether.report.chosen import chosen
from tether.report.table import Cell, Column, Table
from tether.study.comparison import Group

METRICS = ("loss", "train_accuracy", "validation_accuracy", "validation_nll")


def history(group: Group) -> Table:
    """Means over the runs."""
    columns = (
        Column.of("method", "method"),
        Column.of("epoch", "epoch", number=True),
        *(Column.of(name.replace("_", " ").replace("nll", "NLL"), name, number=True) for name in METRICS),
    )
    rows = tuple(
        (
            Cell.method(method.name),
            Cell.count(int(row["epoch"])),
            *(Cell.number(row.get(name)) for name in METRICS),
        )
        for method, one in chosen(group)
        for row in one.history
    )
    return Table(
        "history", "Every epoch of the chosen candidates, means over seeds", columns, rows, group.name, heads=2
    )

"""Conditions: what each group of a study is, and what its methods were given."""

from tether.report.chosen import chosen, runs_at
from tether.report.table import Cell, Column, Table
from tether.report.words import counted
from tether.study.comparison import Comparison, Group


def conditions(found: Comparison) -> Table:
    """A row a group."""
    columns = (
        Column.of("condition", "condition"),
        *(Column.of(part, f"{part}_pictures", number=True) for part in ("train", "validation", "test")),
        Column.of("shared by two seeds", "overlap", number=True),
        Column.of("classes", "classes", number=True),
        Column.of("candidates", "candidates", number=True),
        Column.of("chosen by", "chosen_by"),
    )
    rows = tuple(
        (
            Cell.name(group.name) if group.name else Cell.words("the only one"),
            *(Cell.count(group.counts.get(part)) for part in ("train", "validation", "test")),
            Cell(f"{100 * group.overlap:.0f} %", (group.overlap,)),
            Cell.count(len(group.classes)),
            Cell.count(len(group.candidates)),
            Cell.words(group.chosen_by.partition(":")[0]),
        )
        for group in found.groups
    )
    return Table("conditions", "Conditions, with the pictures of one seed", columns, rows)


def methods(group: Group, at: int) -> Table:
    """A row a method: how much it was tuned, and what was chosen for it."""
    is_searched = any(method.trials for method in group.methods)
    columns = (
        Column.of("method", "method"),
        Column.of("role", "role"),
        Column.of("candidates tried", "candidates", number=True),
        *((Column.of("trials of its search", "trials", number=True),) if is_searched else ()),
        Column.of("chosen", "chosen"),
        Column.of("validation accuracy", "validation_accuracy", number=True),
        Column.of("runs", "runs", number=True),
    )
    rows = tuple(
        (
            Cell.method(method.name),
            Cell.words(one.role),
            Cell.count(len(method.candidates)),
            *((Cell.count(method.trials),) if is_searched else ()),
            Cell.name(one.name, runs_at(group, at, one.name)),
            Cell.number(one.validation[0] if one.validation else None),
            Cell(f"{len(one.done)} of {len(one.runs)}", (len(one.done),)),
        )
        for method, one in chosen(group)
    )
    caption = f"{counted(len(rows), 'method')} and what each was tuned with"
    return Table("methods", caption, columns, rows, group.name)

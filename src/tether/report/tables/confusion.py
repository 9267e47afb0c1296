"""Confusion: which classes are taken for which by each chosen candidate."""

from collections.abc import Iterator

from tether.report.chosen import chosen
from tether.report.table import Cell, Column, Table
from tether.study.comparison import Candidate, Group

MOST = 20  # classes that have a whole matrix in the page
COLUMNS = (
    Column.of("method", "method"),
    Column.of("truth", "truth"),
    Column.of("taken for", "guess"),
    Column.of("answers", "answers", number=True),
    Column.of("of the class", "share", number=True),
)


def confusion(group: Group) -> Table:
    """A row a pair of classes that occurs."""
    rows = [
        _row(group, name, pair)
        for method, one in chosen(group)
        for name, pair in ((method.name, pair) for pair in _pairs(one))
    ]
    return Table(
        "confusion", "Answers by truth and guess, all runs together", COLUMNS, tuple(rows), group.name, heads=3
    )


def worst(group: Group, method: str, one: Candidate, most: int = 20) -> Table:
    """The pairs of different classes that are taken for one another most."""
    wrong = sorted((pair for pair in _pairs(one) if pair[0] != pair[1]), key=lambda pair: -pair[2])
    rows = tuple(_row(group, method, pair) for pair in wrong[:most])
    caption = f"The {len(rows)} most frequent confusions of {len(wrong):,}"
    return Table("confusion", caption, COLUMNS, rows, group.name, heads=3)


Pair = tuple[int, int, int, int]


def _pairs(one: Candidate) -> Iterator[Pair]:
    for truth, row in enumerate(one.confusion):
        total = sum(row)
        yield from ((truth, guess, count, total) for guess, count in enumerate(row) if count)


def _row(group: Group, method: str, pair: Pair) -> tuple[Cell, ...]:
    truth, guess, count, total = pair
    share = count / total
    return (
        Cell.method(method),
        Cell.name(_class(group, truth)),
        Cell.name(_class(group, guess)),
        Cell.count(count),
        Cell(f"{100 * share:.1f} %", (share,)),
    )


def _class(group: Group, number: int) -> str:
    return group.classes[number] if number < len(group.classes) else str(number)

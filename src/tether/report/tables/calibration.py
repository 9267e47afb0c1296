"""Calibration: how right the probabilities of each chosen candidate are."""

from tether.report.chosen import chosen
from tether.report.table import Cell, Column, Table
from tether.study.comparison import Group

ESTIMATOR = (
    "ECE is the expected calibration error of the top label over {bins} bins of equal width (Guo et al., 2017), of "
    "each run by itself, then the mean over seeds; it is biased upward on few pictures."
)


def calibration(group: Group) -> Table:
    """A row a method."""
    columns = (
        Column.of("method", "method"),
        Column.interval("ECE", "ece"),
        Column.interval("NLL", "nll"),
        Column.interval("Brier", "brier"),
    )
    rows = tuple(
        (Cell.method(method.name), *(Cell.mean(one.means.get(name)) for name in ("ece", "nll", "brier")))
        for method, one in chosen(group)
    )
    return Table("calibration", "How right the probabilities are, over seeds", columns, rows, group.name)


def reliability(group: Group) -> Table:
    """A row a bin of a method."""
    columns = (
        Column.of("method", "method"),
        Column.of("confidence", "confidence", number=True),
        Column.of("share that is right", "right", number=True),
        Column.of("answers", "answers", number=True),
    )
    rows = tuple(
        (Cell.method(method.name), Cell.number(confidence), Cell.number(right), Cell.count(count))
        for method, one in chosen(group)
        if one.reliability is not None
        for count, confidence, right in zip(
            one.reliability.counts, one.reliability.confidence, one.reliability.accuracy, strict=True
        )
        if count
    )
    return Table("reliability", "Answers by confidence, all runs together", columns, rows, group.name, heads=2)

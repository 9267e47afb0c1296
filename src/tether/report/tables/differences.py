"""Differences: every method against the one that all are compared with, on new data and on this test set."""

from tether.report.chosen import runs_at
from tether.report.table import Cell, Column, Table
from tether.report.words import chance, number, said
from tether.study.comparison import METRICS, Comparison, Contrast, Group
from tether.study.intervals import Interval
from tether.study.power import Needed

IN_POINTS = frozenset({"accuracy", "balanced", "f1", "auroc", "kept"})
NAMES = {"f1": "macro F1", "nll": "NLL", "brier": "Brier", "ece": "ECE", "auroc": "AUROC"}


def differences(group: Group, at: int) -> Table:
    """A row a method."""
    has_kept = any("kept" in one.test_set for one in group.contrasts)
    columns = (
        Column.of("method", "method"),
        Column.interval("on new data", "new_data"),
        Column.of("Holm's p", "p", number=True),
        Column.of("verdict", "verdict"),
        Column.interval("on this test set", "test_set"),
        *((Column.interval("kept", "kept"),) if has_kept else ()),
        Column.of("its candidate", "chosen"),
        Column.of("seeds to see 1 point", "seeds_needed", number=True),
        Column.of("pictures to see 1 point", "items_needed", number=True),
    )
    names = {method.name: method.chosen for method in group.methods}
    rows = tuple(
        (
            Cell.method(one.ours),
            Cell.points(one.verdict.interval),
            Cell(chance(one.verdict.p), (one.verdict.p,)),
            Cell.words(verdict(one)),
            Cell.points(one.test_set.get("accuracy")),
            *((Cell.points(one.test_set.get("kept")),) if has_kept else ()),
            Cell.name(names[one.ours], runs_at(group, at, names[one.ours])),
            _needed(one.seeds_needed, one),
            _needed(one.items_needed, one),
        )
        for one in group.contrasts
    )
    theirs = said(group.contrasts[0].theirs) if group.contrasts else "the others"
    return Table("differences", f"Points of accuracy above {theirs}", columns, rows, group.name)


def by_metric(group: Group) -> Table:
    """Every metric of every method against the same, on this test set."""
    names = [name for name in (*METRICS, "kept") if any(name in one.test_set for one in group.contrasts)]
    columns = (Column.of("method", "method"), *(Column.interval(_head(name), name) for name in names))
    rows = tuple(
        (Cell.method(one.ours), *(_difference(name, one.test_set.get(name)) for name in names))
        for one in group.contrasts
    )
    return Table("metrics", "Differences of every metric, on this test set, over seeds", columns, rows, group.name)


def transfer(found: Comparison) -> Table:
    """Plain fine-tuning against scratch, a row a group."""
    columns = (
        Column.of("condition", "condition"),
        Column.interval("plain fine-tuning above scratch, points", "difference"),
        Column.of("Holm's p", "p", number=True),
        Column.of("verdict", "verdict"),
    )
    rows = tuple(
        (
            Cell.name(group.name) if group.name else Cell.words("the only one"),
            Cell.points(group.transfer.verdict.interval),
            Cell(chance(group.transfer.verdict.p), (group.transfer.verdict.p,)),
            Cell.words(_transfer(group.transfer)),
        )
        for group in found.groups
        if group.transfer is not None
    )
    return Table("transfer", "Transfer against training from scratch, on new data", columns, rows)


def verdict(one: Contrast) -> str:
    """What may be said, in a word or two."""
    if one.verdict.winner is None:
        return "within the noise"
    return "better" if one.verdict.winner == one.ours else "worse"


def metric_name(name: str) -> str:
    """A metric as a heading says it."""
    return NAMES.get(name, name)


def _transfer(one: Contrast) -> str:
    told = {"better": "transfer helps", "worse": "negative transfer"}
    return told.get(verdict(one), "within the noise")


def _head(name: str) -> str:
    return f"{metric_name(name)}, points" if name in IN_POINTS else metric_name(name)


def _difference(name: str, interval: Interval | None) -> Cell:
    if interval is None or name in IN_POINTS:
        return Cell.points(interval)
    low, high, middle = (_signed(value) for value in (interval.low, interval.high, interval.estimate))
    return Cell(middle, (interval.estimate, interval.low, interval.high), under=f"[{low}, {high}]")


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def _needed(needed: Needed | None, contrast: Contrast) -> Cell:
    if needed is None:
        seen = contrast.verdict.interval.beyond_noise
        return Cell("seen" if seen else "–", (None,))
    count = needed.seeds if needed.of == "seeds" else needed.items
    return Cell("never" if count is None else f"{count:,}", (count,))

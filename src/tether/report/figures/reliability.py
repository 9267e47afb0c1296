"""Reliability: how often answers of one confidence are right; on the diagonal the two are the same."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tether.report.figures.canvas import Picture, picture
from tether.report.figures.marks import Mark, Marks
from tether.report.palette import mark
from tether.report.words import said
from tether.study.comparison import Group, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 20  # answers in a bin that is drawn


def reliability(key: str, group: Group, marks: Marks, found: Sequence[tuple[str, Reliability]]) -> Picture:
    """One panel."""

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=mark("muted"), linewidth=1, linestyle=(0, (1, 2)))
        for name, one in found:
            _method(axes, one, marks.of[name])
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share that is right", aspect="equal")

    return picture(
        key,
        group.name,
        draw,
        title="Reliability" + (f", {group.name}" if group.name else ""),
        description="; ".join(f"{said(name)}: {_gap(one)}" for name, one in found),
        height=330,
    )


def _method(axes: "Axes", one: Reliability, look: Mark) -> None:
    rows = zip(one.counts, one.confidence, one.accuracy, strict=True)
    drawn = [(confidence, accuracy) for count, confidence, accuracy in rows if count >= FEWEST]
    axes.plot([x for x, _ in drawn], [y for _, y in drawn], **look.look | {"markersize": 4, "linewidth": 1.2})


def _gap(one: Reliability) -> str:
    total = sum(one.counts)
    if not total:
        return "no answers"
    rows = zip(one.counts, one.confidence, one.accuracy, strict=True)
    gap = sum(count * (confidence - accuracy) for count, confidence, accuracy in rows) / total
    return f"{100 * abs(gap):.1f} points too {'sure' if gap > 0 else 'unsure'} on average"

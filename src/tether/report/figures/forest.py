"""Forest: the difference of every method from the one that all are compared with, with intervals that hold together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tether.report.figures.canvas import Picture, ends, picture
from tether.report.figures.marks import LABEL, Marks
from tether.report.palette import mark
from tether.report.words import said, shortened
from tether.study.comparison import Contrast, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW, REST = 24, 64


def forest(key: str, group: Group, marks: Marks, limits: tuple[float, float]) -> Picture:
    """One panel; all panels of a report have the same limits, so that they can be read beside one another."""
    rows = group.contrasts
    against = said(rows[0].theirs)

    def draw(axes: "Axes") -> None:
        axes.axvline(0, color=mark("muted"), linewidth=1)
        for place, contrast in enumerate(rows):
            _row(axes, place, contrast, marks)
        axes.set_yticks(range(len(rows)), [shortened(said(one.ours), LABEL) for one in rows], color=mark("ink"))
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=limits)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.4g}".replace("-", "−") if value else "0")
        axes.set_xlabel(f"points of accuracy above {shortened(against, LABEL)}")

    return picture(
        key,
        group.name,
        draw,
        title=f"Differences from {against}" + (f", {group.name}" if group.name else ""),
        description="; ".join(f"{said(one.ours)} {one.verdict.interval.points}" for one in rows),
        height=REST + ROW * len(rows),
    )


def limits(groups: Sequence[Group]) -> tuple[float, float]:
    """Limits that every interval of a report fits into; zero is within."""
    found = [one.verdict.interval for group in groups for one in group.contrasts]
    values = [100 * value for one in found for value in (one.low, one.high)]
    return ends([0.0, *values], within=(-100, 100))


def _row(axes: "Axes", place: int, contrast: Contrast, marks: Marks) -> None:
    interval, look = contrast.verdict.interval, marks.of[contrast.ours]
    low, high, middle = (100 * value for value in (interval.low, interval.high, interval.estimate))
    filled = look.colour if interval.beyond_noise else mark("paper")
    axes.plot([low, high], [place, place], color=look.colour, linewidth=2, solid_capstyle="butt")
    axes.plot(
        [middle],
        [place],
        color=look.colour,
        marker=look.shape,
        markersize=6.5,
        markerfacecolor=filled,
        markeredgecolor=look.colour,
        markeredgewidth=1.5,
    )

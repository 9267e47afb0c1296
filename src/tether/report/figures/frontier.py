"""Frontier: target accuracy against what is kept of the source, a line a penalty over its strengths."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tether.report.figures.canvas import Picture, ends, picture
from tether.report.figures.lines import Lines
from tether.report.figures.marks import Mark
from tether.report.palette import mark
from tether.study.comparison import Candidate, Group
from tether.study.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Spot = tuple[Candidate, Interval, Interval]


def frontier(key: str, group: Group, looks: Lines) -> Picture:
    """One panel."""
    spots = [spot for one in group.candidates if (spot := _spot(one)) is not None]
    swept = {name: looks.look(sweep) for sweep in group.sweeps for name in sweep.candidates}

    def draw(axes: "Axes") -> None:
        for sweep in group.sweeps:
            found = {one.name: (one, kept, mean) for one, kept, mean in spots}
            _line(axes, [found[name] for name in sweep.candidates if name in found], looks.look(sweep))
        for one, kept, mean in spots:
            _cross(axes, kept, mean, swept.get(one.name) or looks.marks.of[one.method], is_large=one.name not in swept)
        axes.set(
            xlim=ends([value for _, kept, _ in spots for value in (kept.low, kept.high)], within=(0, 1)),
            ylim=ends([value for _, _, mean in spots for value in (mean.low, mean.high)], within=(0, 1)),
            xlabel="kept of the source",
            ylabel="target accuracy",
        )

    return picture(
        key,
        group.name,
        draw,
        title="Target accuracy against what is kept" + (f", {group.name}" if group.name else ""),
        description="; ".join(f"{one.name}: kept {k.estimate:.3f}, target {m.estimate:.3f}" for one, k, m in spots),
        height=280,
    )


def _spot(one: Candidate) -> Spot | None:
    accuracy = one.means.get("accuracy")
    return (one, one.kept, accuracy) if one.kept is not None and accuracy is not None else None


def _line(axes: "Axes", spots: Sequence[Spot], look: Mark) -> None:
    kept, means = [one.estimate for _, one, _ in spots], [one.estimate for _, _, one in spots]
    axes.plot(kept, means, color=look.colour, linestyle=look.line)
    if len(spots) > 1:  # an arrow to the strongest
        axes.annotate(
            "",
            (kept[-1], means[-1]),
            (kept[-2], means[-2]),
            arrowprops={"arrowstyle": "-|>", "color": look.colour, "linewidth": 0, "shrinkB": 4},
        )


def _cross(axes: "Axes", kept: Interval, mean: Interval, look: Mark, *, is_large: bool) -> None:
    axes.plot([kept.low, kept.high], [mean.estimate] * 2, color=look.colour, linewidth=0.9, alpha=0.55)
    axes.plot([kept.estimate] * 2, [mean.low, mean.high], color=look.colour, linewidth=0.9, alpha=0.55)
    axes.plot(
        [kept.estimate],
        [mean.estimate],
        marker=look.shape,
        markersize=9 if is_large else 6.5,
        color=look.colour,
        markeredgecolor=mark("paper"),
        markeredgewidth=0.8,
    )

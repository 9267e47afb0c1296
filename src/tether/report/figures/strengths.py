"""Strengths: what every strength of a penalty comes to, one line a reference, no penalty at the left."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tether.report.figures.canvas import Picture, ends, picture
from tether.report.figures.lines import Lines, unheld
from tether.report.figures.marks import Mark
from tether.report.palette import mark
from tether.report.words import RAISED, given
from tether.study.comparison import Candidate, Group, Sweep
from tether.study.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Measured = Callable[[Candidate], Interval | None]
Point = tuple[float, Interval]


def strengths(key: str, group: Group, looks: Lines, measured: Measured, *, what: str) -> Picture:
    """One panel of one measure."""
    lines = [(sweep, _points(group, sweep, measured)) for sweep in group.sweeps]
    bases = [(looks.base(one), mean) for one in unheld(group) if (mean := measured(one)) is not None]
    positive = [strength for _, points in lines for strength, _ in points if strength > 0]
    left = math.floor(math.log10(min(positive))) if positive else 0
    right = math.ceil(math.log10(max(positive))) if positive else 1
    zero = left - 1.0

    def draw(axes: "Axes") -> None:
        for number, (sweep, points) in enumerate(lines):
            placed = _placed(points, zero, (number - (len(lines) - 1) / 2) * 0.05)
            _sweep(axes, placed, looks.look(sweep))
        for number, (look, base) in enumerate(bases):
            axes.axhline(base.estimate, color=look.colour, linewidth=1, linestyle=look.line)
            _point(axes, zero + (number - (len(bases) - 1) / 2) * 0.15, base, look)
        axes.axvline(zero + 0.5, color=mark("rule"), linewidth=1, linestyle=(0, (3, 3)))
        step = max(1, math.ceil((right - left) / 6))
        ticks = list(range(left, right + 1, step))
        axes.set_xticks([zero, *ticks], ["0", *map(_power, ticks)])
        values = [value for _, points in lines for _, one in points for value in (one.low, one.high)]
        axes.set(
            xlim=(zero - 0.4, right + 0.3),
            ylim=ends([*values, *(end for _, base in bases for end in (base.low, base.high))], within=(0, 1)),
            xlabel="strength λ",
            ylabel=what,
        )

    return picture(
        key,
        f"{group.name} · {what}" if group.name else what[:1].upper() + what[1:],
        draw,
        title=f"{what} over the strength" + (f", {group.name}" if group.name else ""),
        description="; ".join(_told(sweep, points) for sweep, points in lines),
        height=230,
    )


def _points(group: Group, sweep: Sweep, measured: Measured) -> list[Point]:
    found = [group.candidate(name) for name in sweep.candidates]
    with_strength = [(one.strength, measured(one)) for one in found]
    return [(s, mean) for s, mean in with_strength if s is not None and s >= 0 and mean is not None]


def _placed(points: Sequence[Point], zero: float, aside: float) -> list[Point]:
    return [((math.log10(strength) if strength > 0 else zero) + aside, mean) for strength, mean in points]


def _sweep(axes: "Axes", points: Sequence[Point], look: Mark) -> None:
    axes.plot([x for x, _ in points], [mean.estimate for _, mean in points], **look.look)
    for x, mean in points:
        axes.plot([x, x], [mean.low, mean.high], color=look.colour, linewidth=1.2)


def _point(axes: "Axes", x: float, mean: Interval, look: Mark) -> None:
    axes.plot([x, x], [mean.low, mean.high], color=look.colour, linewidth=1.2)
    axes.plot([x], [mean.estimate], marker=look.shape, color=look.colour, markeredgewidth=0)


def _power(exponent: int) -> str:
    return f"{10.0**exponent:g}" if -2 <= exponent <= 2 else f"10{str(exponent).translate(RAISED)}"


def _told(sweep: Sweep, points: Sequence[Point]) -> str:
    told = ", ".join(f"{mean.estimate:.3f} at {strength:.3g}" for strength, mean in points)
    beside = f", {given(sweep.settings)}" if sweep.settings else ""
    return f"{sweep.method} toward {sweep.reference}{beside}: {told or 'not measured'}"

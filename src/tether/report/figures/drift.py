"""Drift: how far every layer has moved from the source, from the input at the top to the output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tether.report.figures.canvas import Picture, picture
from tether.report.figures.marks import LABEL, Mark, Marks
from tether.report.palette import mark
from tether.report.words import said, shortened
from tether.study.comparison import Drift, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import LogLocator

NAMED = 20  # layers that have their name in the figure; of more, some have
Moved = Sequence[tuple[str, Sequence[Drift]]]


def drift(key: str, group: Group, marks: Marks, moved: Moved) -> Picture:
    """One panel.

    Args:
        moved: of each method its layers, the same in all.
    """
    layers = list(dict.fromkeys(one.layer for _, rows in moved for one in rows))

    def draw(axes: "Axes") -> None:
        for name, rows in moved:
            _method(axes, layers, rows, marks.of[name])
        step = -(-len(layers) // NAMED)
        axes.set_yticks(range(0, len(layers), step), [shortened(one, LABEL) for one in layers[::step]])
        axes.set(xscale="log", ylim=(len(layers) - 0.5, -0.5), xlabel="relative displacement ‖δ‖ / ‖w₀‖")
        axes.tick_params(axis="y", colors=mark("ink"), labelsize=11)
        axes.xaxis.set_major_locator(_places([one.relative for _, rows in moved for one in rows]))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.spines["left"].set_visible(False)

    return picture(
        key,
        group.name,
        draw,
        title="How far every layer has moved" + (f", {group.name}" if group.name else ""),
        description="; ".join(_told(name, rows) for name, rows in moved),
        height=70 + min(max(len(layers) * 20, 60), 420),
    )


def _method(axes: "Axes", layers: Sequence[str], rows: Sequence[Drift], look: Mark) -> None:
    places = {layer: place for place, layer in enumerate(layers)}
    found = [(one.relative, places[one.layer]) for one in rows if one.relative > 0]
    style = look.look | {"linewidth": 0.9, "markersize": 5.5 if len(layers) <= NAMED else 3.5}
    axes.plot([x for x, _ in found], [y for _, y in found], **style)


def _places(values: Sequence[float]) -> "LogLocator":
    from matplotlib.ticker import LogLocator

    above = [value for value in values if value > 0]
    return LogLocator(subs=(1, 2, 5) if max(above) < 30 * min(above) else (1,))


def _told(name: str, rows: Sequence[Drift]) -> str:
    most = max(rows, key=lambda one: one.relative)
    return f"{said(name)}: most in {most.layer}, {most.relative:.3g} of its norm"

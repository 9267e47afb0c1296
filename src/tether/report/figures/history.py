"""History: a measure of every method over the epochs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tether.report.figures.canvas import Picture, ends, picture
from tether.report.figures.marks import Marks
from tether.report.words import said
from tether.study.comparison import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, float]]
MARKED = 15  # epochs up to which each has a mark


def history(key: str, group: Group, marks: Marks, lines: Sequence[tuple[str, Rows]], *, metric: str) -> Picture:
    """One panel.

    Args:
        lines: the epochs of each method that has this metric.
    """
    from matplotlib.ticker import MaxNLocator

    what = metric.replace("_", " ")

    def draw(axes: "Axes") -> None:
        for name, rows in lines:
            look = marks.of[name].look | {"markersize": 4 if len(rows) <= MARKED else 0, "linewidth": 1.4}
            axes.plot([row["epoch"] for row in rows], [row[metric] for row in rows], **look)
        values = [row[metric] for _, rows in lines for row in rows]
        if metric.endswith("accuracy"):
            axes.set_ylim(*ends(values, within=(0, 1)))
        axes.set(xlabel="epoch", ylabel=what)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))

    return picture(
        key,
        f"{group.name} · {what}" if group.name else what[:1].upper() + what[1:],
        draw,
        title=f"{what} over the epochs" + (f", {group.name}" if group.name else ""),
        description="; ".join(
            f"{said(name)}: from {rows[0][metric]:.3f} to {rows[-1][metric]:.3f} in {len(rows)} epochs"
            for name, rows in lines
        ),
        height=220,
    )

"""Labels: accuracy of every method by how many training pictures it has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tether.report.figures.canvas import Picture, ends, picture
from tether.report.figures.marks import Marks
from tether.report.words import said
from tether.study.comparison import Group
from tether.study.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = list[tuple[int, Interval]]


def labels(key: str, caption: str, groups: Sequence[Group], marks: Marks) -> Picture:
    """One panel of groups that differ in the number of training pictures only, by rising number."""
    lines = {name: found for name in marks.of if (found := _line(groups, name))}
    counts = [group.counts["train"] for group in groups]

    def draw(axes: "Axes") -> None:
        for number, (name, points) in enumerate(lines.items()):
            aside = 1 + 0.025 * (number - (len(lines) - 1) / 2)
            look = marks.of[name]
            axes.plot([x * aside for x, _ in points], [mean.estimate for _, mean in points], **look.look)
            for x, mean in points:
                axes.plot([x * aside] * 2, [mean.low, mean.high], color=look.colour, linewidth=1.1)
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        values = [value for points in lines.values() for _, mean in points for value in (mean.low, mean.high)]
        axes.set(
            ylim=ends(values, within=(0, 1)),
            xlim=(min(counts) / 1.35, max(counts) * 1.35),
            xlabel="training pictures",
            ylabel="target accuracy",
        )

    return picture(
        key,
        caption,
        draw,
        title="Accuracy by the number of training pictures" + (f", {caption}" if caption else ""),
        description="; ".join(_told(name, points) for name, points in lines.items()),
        height=320,
    )


def _line(groups: Sequence[Group], name: str) -> Line:
    found: Line = []
    for group in groups:
        chosen = next((one.chosen for one in group.methods if one.name == name), None)
        mean = group.candidate(chosen).means.get("accuracy") if chosen else None
        if mean is not None:
            found.append((group.counts["train"], mean))
    return found


def _told(name: str, points: Line) -> str:
    return f"{said(name)}: " + ", ".join(f"{mean.estimate:.3f} with {count:,}" for count, mean in points)

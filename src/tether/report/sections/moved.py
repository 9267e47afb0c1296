"""Moved: how far the chosen candidates are from the source, how they learnt, and how they err."""

from collections.abc import Sequence

from tether.report.chosen import chosen
from tether.report.figures.canvas import Picture
from tether.report.figures.drift import drift as drawn_drift
from tether.report.figures.history import history as drawn_history
from tether.report.figures.reliability import FEWEST
from tether.report.figures.reliability import reliability as drawn_reliability
from tether.report.scene import Scene
from tether.report.section import Folded, Gallery, Matrices, Part, Prose, Section, Shown, galleries
from tether.report.tables.calibration import ESTIMATOR, calibration, reliability
from tether.report.tables.confusion import MOST, worst
from tether.report.tables.drift import drift as drift_table
from tether.report.tables.drift import outputs
from tether.report.tables.history import history as history_table
from tether.report.words import said
from tether.study.comparison import Drift, Group

BINS = 15
MATRICES = 12  # groups that have theirs in the page
CURVES = ("loss", "validation_accuracy", "train_accuracy")


def drift(scene: Scene) -> Section:
    """Displacement by layer, and how far outputs move."""
    key, title = "drift", "How far it moves from the source"
    groups = [group for group in scene.found.groups if any(one.drift for _, one in chosen(group))]
    told = tuple(table for group in scene.found.groups if (table := outputs(group)).rows)
    if not groups and not told:
        return Section(key, title, (Prose(("Nothing was transferred, or no run has ended.",)),))
    parts: list[Part] = []
    moved = {
        at: [(method.name, one.drift) for method, one in chosen(group) if _moves(one.drift)]
        for at, group in scene.drawn()
    }
    pictures = tuple(drawn_drift(f"d-{at}", group, scene.marks, moved[at]) for at, group in scene.drawn() if moved[at])
    if pictures:
        lead = (
            "Relative displacement of each layer from its source, the input at the top; the chosen candidates, means "
            "over seeds. What does not move at all is not drawn."
        )
        names = [name for rows in moved.values() for name, _ in rows]
        parts += [Prose((lead, *scene.undrawn)), Gallery(pictures, scene.marks.key(names))]
        parts.append(Folded("The numbers, with the norms", tuple(map(drift_table, groups))))
    parts += map(Shown, told)
    return Section(key, title, tuple(parts), ("drift", "outputs"))


def learning(scene: Scene) -> Section:
    """Learning curves."""
    key, title = "learning", "Learning curves"
    pictures: dict[str, list[Picture]] = {}
    names = []
    for at, group in scene.drawn():
        rows = [(method.name, one.history) for method, one in chosen(group) if one.history]
        metrics = [name for name in CURVES if any(name in history[0] for _, history in rows)][:2]
        for metric in metrics:
            lines = [(name, history) for name, history in rows if all(metric in row for row in history)]
            if lines:
                one = drawn_history(f"h-{at}-{metric}", group, scene.marks, lines, metric=metric)
                pictures.setdefault(metric, []).append(one)
                names += [name for name, _ in lines]
    if not pictures:
        return Section(key, title, (Prose(("No run that has ended trained for an epoch.",)),))
    lead = "The chosen candidates, means over seeds; what trains nothing has no curve."
    tables = tuple(table for group in scene.found.groups if (table := history_table(group)).rows)
    shown = galleries(list(pictures.values()), scene.marks.key(names))
    parts: tuple[Part, ...] = (Prose((lead, *scene.undrawn)), *shown, Folded("The numbers", tables))
    return Section(key, title, parts, ("history",))


def calibrated(scene: Scene) -> Section:
    """The reliability diagram and the calibration error."""
    key, title = "calibration", "Can its confidence be believed?"
    found = {
        at: [(method.name, one.reliability) for method, one in chosen(group) if one.reliability is not None]
        for at, group in scene.drawn()
    }
    pictures = tuple(
        drawn_reliability(f"r-{at}", group, scene.marks, found[at]) for at, group in scene.drawn() if found[at]
    )
    if not pictures:
        return Section(key, title, (Prose(("No answers to test pictures were kept.",)),))
    lead = (
        "How often answers of one confidence are right; on the dotted diagonal the two agree, below it the model is "
        f"too sure. All runs of a chosen candidate together; bins with fewer than {FEWEST} answers are not drawn. "
        + ESTIMATOR.format(bins=BINS)
    )
    names = [name for rows in found.values() for name, _ in rows]
    parts: tuple[Part, ...] = (
        Prose((lead, *scene.undrawn)),
        Gallery(pictures, scene.marks.key(names)),
        Folded("ECE, NLL and Brier score", tuple(map(calibration, scene.found.groups))),
        Folded("The numbers of the figure", tuple(map(reliability, scene.found.groups))),
    )
    return Section(key, title, parts, ("calibration", "reliability"))


def confused(scene: Scene) -> Section:
    """Confusion matrices of the chosen candidates."""
    key, title = "confusion", "What is taken for what"
    every = [part for group in scene.found.groups if (part := _matrices(group)) is not None]
    if not every:
        return Section(key, title, (Prose(("No answers to test pictures were kept.",)),))
    lead = ["Answers of the chosen candidates, all runs together; rows are what it is, columns what it is taken for."]
    if any(len(group.classes) > MOST for group in scene.found.groups):
        lead.append(f"With more than {MOST} classes, the most frequent confusions; confusion.csv has all.")
    if len(every) > MATRICES:
        lead.append(f"{len(every) - MATRICES} more conditions are left out here; confusion.csv has all.")
    return Section(key, title, (Prose(tuple(lead)), *every[:MATRICES]), ("confusion",))


def _matrices(group: Group) -> Part | None:
    found = [(method.name, one) for method, one in chosen(group) if one.confusion]
    if not found:
        return None
    says = group.name or "All methods"
    if len(found[0][1].confusion) > MOST:
        return Folded(says, tuple(worst(group, name, one) for name, one in found))
    return Matrices(says, group.classes, tuple((said(name), one.confusion) for name, one in found))


def _moves(rows: Sequence[Drift]) -> bool:
    return any(one.relative > 0 for one in rows)

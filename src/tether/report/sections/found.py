"""Found: what the penalties did to accuracy and to what is kept, with intervals."""

from tether.report.figures.forest import forest, limits
from tether.report.figures.frontier import frontier as drawn_frontier
from tether.report.figures.labels import labels as drawn_labels
from tether.report.figures.strengths import strengths as drawn_strengths
from tether.report.scene import Scene
from tether.report.section import Folded, Gallery, Part, Prose, Section, Shown, galleries
from tether.report.tables.differences import by_metric, differences, transfer
from tether.report.tables.labels import families, labels
from tether.report.tables.strengths import strengths
from tether.report.words import interval_line, said
from tether.study.comparison import Candidate
from tether.study.intervals import Interval


def contrasts(scene: Scene) -> Section:
    """The forest plot and its table."""
    found = scene.found
    compared = [(at, group) for at, group in enumerate(found.groups) if group.contrasts]
    key, title = "differences", f"Differences from {said(found.against)}"
    if not compared:
        return Section(key, title, (Prose(("Nothing can be compared: that takes two seeds or more of two methods.",)),))
    room = limits([group for _, group in compared])
    pictures = tuple(forest(f"f-{at}", group, scene.marks, room) for at, group in scene.drawn() if group.contrasts)
    count = compared[0][1].contrasts[0].verdict.count
    together = f"that hold together for all {count} comparisons" if count > 1 else ""
    lead = (
        f"Accuracy, paired by seed and test picture, on new data: what other seeds would give on other test pictures. "
        f"The lines are {100 * found.level:g} % intervals {together}. A filled mark is beyond the noise; a hollow one "
        "is not, and names no winner."
    ).replace(" .", ".")
    parts: list[Part] = [Prose((lead, *scene.undrawn)), Gallery(pictures)]
    parts += [Shown(differences(group, at)) for at, group in compared]
    parts.append(Folded("Every metric, on this test set", tuple(by_metric(group) for _, group in compared)))
    return Section(key, title, tuple(parts), ("differences", "metrics"))


def strength(scene: Scene) -> Section:
    """Curves over λ."""
    key, title = "strength", "What the strength does"
    groups = [(at, group) for at, group in enumerate(scene.found.groups) if group.sweeps]
    if not groups:
        return Section(key, title, (Prose(("No penalty is compared at more than one strength.",)),))
    drawn = [(at, group) for at, group in scene.drawn() if group.sweeps]
    of_target = [drawn_strengths(f"s-{at}", g, scene.lines, _accuracy, what="target accuracy") for at, g in drawn]
    of_source = [
        drawn_strengths(f"k-{at}", group, scene.lines, _kept, what="kept of the source")
        for at, group in drawn
        if any(_kept(one) for one in group.candidates)
    ]
    lead = (
        "Means and intervals over seeds, on this test set. At the left, apart, is no penalty: plain fine-tuning, with "
        "a line at its mean. Whether a strength differs from it is told by the numbers below, on new data."
    )
    tables = tuple(strengths(group, at) for at, group in groups)
    shown = galleries([of_target, of_source], scene.lines.key)
    parts: tuple[Part, ...] = (Prose((lead, *scene.undrawn)), *shown, Folded("The numbers", tables))
    return Section(key, title, parts, ("strengths",))


def frontier(scene: Scene) -> Section:
    """Target accuracy against what is kept."""
    key, title = "frontier", "Target accuracy against what is kept"
    pictures = tuple(
        drawn_frontier(f"t-{at}", group, scene.lines)
        for at, group in scene.drawn()
        if any(one.kept and "accuracy" in one.means for one in group.candidates)
    )
    if not pictures:
        return Section(key, title, (Prose(("What is kept of the source was not measured.",)),))
    lead = (
        "Each mark is a candidate, with intervals over seeds in both directions; a line goes through the strengths of "
        "one penalty, with an arrow at the strongest. Up and to the right is better. A method without a source keeps "
        "nothing of it and is not here."
    )
    methods = [
        one.method for _, group in scene.drawn() for one in group.candidates if one.kept and "accuracy" in one.means
    ]
    gallery = Gallery(pictures, scene.lines.key_with(methods))
    return Section(key, title, (Prose((lead, "The numbers are those of all candidates, below.")), gallery))


def label_curve(scene: Scene) -> Section | None:
    """Accuracy by training pictures, where groups differ in those only."""
    found = families(scene.found)
    if not found:
        return None
    pictures = tuple(drawn_labels(f"l-{at}", name, groups, scene.marks) for at, (name, groups) in enumerate(found[:12]))
    names = [one.name for _, groups in found for group in groups for one in group.methods]
    lead = "The chosen candidate of every method; means and intervals over seeds, on this test set."
    parts = (
        Prose((lead,)),
        Gallery(pictures, scene.marks.key(names)),
        Folded("The numbers", tuple(map(labels, found))),
    )
    return Section("labels", "By the number of training pictures", parts, ("labels",))


def negative_transfer(scene: Scene) -> Section:
    """Transfer against scratch."""
    key, title = "transfer", "Is there negative transfer?"
    rows = [(group.name, group.transfer) for group in scene.found.groups if group.transfer]
    if not rows:
        return Section(key, title, (Prose(("Scratch and plain fine-tuning are not both in the study.",)),))
    told = []
    for name, one in rows:
        winner, where = one.verdict.winner, f"{name}: " if name else ""
        words = "transfer and training from scratch cannot be told apart"
        if winner is not None:
            words = "no: transfer helps" if winner == one.ours else "yes: training from scratch is better"
        told.append(f"{where}{words}, {interval_line(one.verdict.interval)}")
    lead = "Plain fine-tuning against training from scratch, with the same pictures and the same number of steps."
    parts: tuple[Part, ...] = (Prose((lead,)), Prose(tuple(told), is_list=len(told) > 1), Shown(transfer(scene.found)))
    return Section(key, title, parts, ("transfer",))


def _accuracy(one: Candidate) -> Interval | None:
    return one.means.get("accuracy")


def _kept(one: Candidate) -> Interval | None:
    return one.kept

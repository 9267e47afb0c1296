"""Story: the sections of a report in their order, and all tables that it has."""

from collections.abc import Iterator

from tether.report.scene import Scene
from tether.report.section import Section
from tether.report.sections.asked import asked, summary
from tether.report.sections.found import contrasts, frontier, label_curve, negative_transfer, strength
from tether.report.sections.moved import calibrated, confused, drift, learning
from tether.report.sections.origin import fingerprints, limits, origin
from tether.report.sections.runs import all_candidates, costs, every_run
from tether.report.table import Table
from tether.report.tables.calibration import calibration, reliability
from tether.report.tables.candidates import candidates
from tether.report.tables.conditions import conditions, methods
from tether.report.tables.confusion import confusion
from tether.report.tables.cost import cost
from tether.report.tables.differences import by_metric, differences, transfer
from tether.report.tables.drift import drift as drift_table
from tether.report.tables.drift import outputs
from tether.report.tables.history import history
from tether.report.tables.labels import families, labels
from tether.report.tables.runs import failures, runs
from tether.report.tables.strengths import strengths

ORDER = (
    *(summary, asked, contrasts, strength, frontier, label_curve, negative_transfer, drift, learning, calibrated),
    *(confused, all_candidates, costs, every_run, limits, origin),
)


def story(scene: Scene) -> tuple[Section, ...]:
    """Every section that has something to tell."""
    return tuple(section for tell in ORDER if (section := tell(scene)) is not None)


def every_table(scene: Scene) -> Iterator[Table]:
    """All rows, also those that the page leaves out."""
    found = scene.found
    yield conditions(found)
    for at, group in enumerate(found.groups):
        yield from (methods(group, at), differences(group, at), by_metric(group), strengths(group, at))
        yield from (candidates(group, at), drift_table(group), outputs(group), history(group), calibration(group))
        yield from (reliability(group), confusion(group), cost(group), runs(group))
    yield from map(labels, families(found))
    yield from (transfer(found), failures(found), fingerprints(scene))

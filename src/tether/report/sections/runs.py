"""Runs: all candidates, what they cost, and every run with a link to its folder."""

from tether.report.chosen import runs_at
from tether.report.scene import Scene
from tether.report.section import Chips, Part, Prose, Runs, Section, Shown
from tether.report.tables.candidates import candidates
from tether.report.tables.cost import cost
from tether.report.tables.runs import failures
from tether.report.words import counted, lasting, number
from tether.study.comparison import Candidate, Group, RunResult

MOST_RUNS = 3000  # that are listed


def all_candidates(scene: Scene) -> Section:
    """Every candidate with every metric."""
    lead = (
        "Means over the seeds that have ended, with Student's intervals over them: on this test set. A candidate's "
        "name leads to its runs."
    )
    tables = tuple(Shown(candidates(group, at)) for at, group in enumerate(scene.found.groups))
    return Section("candidates", "All candidates", (Prose((lead,)), *tables), ("candidates",))


def costs(scene: Scene) -> Section:
    """Seconds by method."""
    found = scene.found
    lead = f"All runs together took {lasting(found.seconds)} of one process each."
    tables = tuple(Shown(cost(group)) for group in found.groups)
    return Section("cost", "What it costs", (Prose((lead,)), *tables), ("cost",))


def every_run(scene: Scene) -> Section:
    """Every run, with those that failed."""
    found = scene.found
    runs = {run.folder: run for group in found.groups for one in group.candidates for run in one.runs}
    done = sum(run.status == "done" for run in runs.values())
    lines = [
        f"{counted(len(runs), 'run')}: {done:,} ended well, {len(found.failed):,} failed, {found.missing:,} have not "
        "ended. Each leads to its folder, and is shown with its accuracy on the test pictures; runs.csv has every "
        "metric of each."
    ]
    listed, rest = [], MOST_RUNS
    for at, group in enumerate(found.groups):
        rows = []
        for one in group.candidates:
            rows.append(_chips(group, at, one, rest))
            rest -= len(rows[-1].runs)
        listed.append(Runs(group.name, tuple(rows)))
    if len(runs) > MOST_RUNS and rest <= 0:
        lines.append(f"Only {MOST_RUNS:,} are listed here.")
    parts: list[Part] = [Prose(tuple(lines))]
    if found.failed:
        parts.append(Shown(failures(found)))
    return Section("runs", "Every run", (*parts, *listed), ("runs", "failed"))


def _chips(group: Group, at: int, one: Candidate, room: int) -> Chips:
    shown = one.runs[: max(room, 0)]
    runs = tuple((f"seed {run.seed}", _words(run), run.folder.as_posix(), run.status) for run in shown)
    return Chips(runs_at(group, at, one.name), one.name, runs, len(one.runs) - len(shown))


def _words(run: RunResult) -> str:
    accuracy = number(run.test.get("accuracy")) if run.test else ""
    return {"done": accuracy or "done", "failed": "failed", "missing": "not ended"}[run.status]

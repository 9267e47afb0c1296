"""Asked: what was found, in words, and what was asked, on what."""

from collections.abc import Mapping, Sequence

from tether.escaping import terminal
from tether.report.scene import Scene
from tether.report.section import Findings, Folded, Part, Prose, Section, Shown
from tether.report.tables.conditions import conditions, methods
from tether.report.words import counted, said

NO_FINDINGS = "Nothing is found yet: no run has ended."


def summary(scene: Scene) -> Section:
    """The findings, in words, before anything else."""
    lines = scene.found.summary or (NO_FINDINGS,)
    names = [group.name for group in scene.found.groups if group.name]
    grouped = {name: _without(lines, f"{terminal(name)}: ") for name in names}
    rest = tuple(line for line in lines if not any(line.startswith(f"{terminal(name)}: ") for name in names))
    parts: list[Part] = [Prose(rest, is_list=len(rest) > 1)] if rest else []
    if any(grouped.values()):
        parts.append(Findings(tuple((name, told) for name, told in grouped.items() if told)))
    return Section("summary", "What was found", tuple(parts))


def asked(scene: Scene) -> Section:
    """Counts, seeds, conditions, and how candidates were chosen."""
    found = scene.found
    parts: list[Part] = [Prose(_words(scene))]
    if found.groups:
        parts.append(Shown(conditions(found)))
    tables = tuple(methods(group, at) for at, group in enumerate(found.groups))
    if tables:
        parts.append(Folded("How much each method was tuned", tables) if len(tables) > 1 else Shown(tables[0]))
    return Section("asked", "What was asked, and on what", tuple(parts), ("conditions", "methods"))


def _without(lines: Sequence[str], start: str) -> tuple[str, ...]:
    return tuple(line.removeprefix(start) for line in lines if line.startswith(start))


def _words(scene: Scene) -> tuple[str, ...]:
    found = scene.found
    names = {one.name for group in found.groups for one in group.methods}
    candidates = sum(len(group.candidates) for group in found.groups)
    seeds = ", ".join(map(str, found.seeds[:12])) + (", …" if len(found.seeds) > 12 else "")
    lines = [
        f"{counted(len(names), 'method')} with {counted(candidates, 'candidate')} in "
        f"{counted(len(found.groups), 'condition')}, each under {counted(len(found.seeds), 'seed')} ({seeds}). A seed "
        "draws the training pictures, the new head and the order of the batches, the same for every method; the test "
        f"pictures are the same for all. Every method is compared with {said(found.against)}."
    ]
    lines += _choice(scene)
    for measure in sorted({group.measure for group in found.groups if group.measure}):
        lines.append(f"What is kept of the source is {measure}.")
    if not any(group.measure for group in found.groups):
        lines.append("What is kept of the source was not measured.")
    return tuple(lines)


def _choice(scene: Scene) -> list[str]:
    groups = scene.found.groups
    if not any(group.chosen_by == "validation" for group in groups):
        return ["Nothing was chosen: every configuration stands for itself."] if groups else []
    budgets: Mapping[str, int] = {m.name: len(m.candidates) for group in groups for m in group.methods}
    trials: Mapping[str, int] = {m.name: m.trials for group in groups for m in group.methods if m.trials}
    searched = f" Numbers were searched for before, on validation, in so many trials: {_counts(trials)}."
    return [
        "A method's candidate is the one with the best mean validation accuracy, then the lowest negative log "
        "likelihood; the test pictures are looked at once, after that. Candidates that each method was chosen from: "
        f"{_counts(budgets)}.{searched if trials else ''}"
    ]


def _counts(budgets: Mapping[str, int]) -> str:
    return ", ".join(f"{said(name)} {count}" for name, count in budgets.items())

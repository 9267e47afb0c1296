"""Told: what a comparison comes to, in sentences that its intervals allow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tether.escaping import terminal
from tether.study.axis import value_text
from tether.study.comparison import PLAIN, POINT, Candidate, Comparison, Group, Sweep
from tether.study.intervals import Interval, on_test_set
from tether.study.multiple import Verdict

SHARED_MUCH = 0.1


def summary(found: Comparison) -> tuple[str, ...]:
    """The findings: a sentence for each question that the study answers, or why it cannot."""
    return tuple(sentence for group in found.groups for sentence in _of_group(group, found))


def notes(found: Comparison) -> tuple[str, ...]:
    """The limits of what is said."""
    return tuple(_limits(found))


def _of_group(group: Group, found: Comparison) -> Iterator[str]:
    where = f"{terminal(group.name)}: " if group.name else ""
    sentences = (_methods(group, found), _transfer(group), _sweeps(group), _kept(group, found), _at_little_cost(group))
    yield from (where + sentence for several in sentences for sentence in several)


def _methods(group: Group, found: Comparison) -> Iterator[str]:
    """Which methods differ from the one that all are compared with, and by how much."""
    if len(group.methods) < 2:
        yield f"there is nothing to compare: the only method is {_named(group.methods[0].name)}"
        return
    if not group.contrasts:
        yield f"nothing can be compared with {_named(found.against)}: that takes two seeds or more of both"
        return
    verdicts = [one.verdict for one in group.contrasts]
    yield from _apart(verdicts, f"than {_named(found.against)}")
    if noise := [one for one in verdicts if one.winner is None]:
        names = ", ".join(_named(one.ours) for one in noise)
        yield f"within the noise of {_named(found.against)}: {names}; {_largest(noise)}"


def _apart(verdicts: Sequence[Verdict], than: str) -> Iterator[str]:
    """Those that are better, and those that are worse."""
    for word, is_so in (("better", True), ("worse", False)):
        told = [one for one in verdicts if one.winner is not None and (one.winner == one.ours) is is_so]
        if told:
            yield f"{word} {than}: {', '.join(f'{_named(one.ours)} {one.interval.points}' for one in told)}"


def _largest(verdicts: Sequence[Verdict]) -> str:
    widest = max(verdicts, key=lambda one: abs(one.interval.estimate))
    return f"the largest difference is {_named(widest.ours)}'s, {widest.interval.points}"


def _transfer(group: Group) -> Iterator[str]:
    if group.transfer is None:
        return
    verdict, points = group.transfer.verdict, group.transfer.verdict.interval.points
    if verdict.winner is None:
        yield f"transfer against scratch is within the noise: {points}"
    else:
        what = "transfer helps" if verdict.winner == verdict.ours else "negative transfer"
        yield f"{what}: plain fine-tuning against scratch {points}"


def _sweeps(group: Group) -> Iterator[str]:
    """Whether strength matters: what does no good and no harm is told together, what does is told by penalty."""
    sweeps = [one for one in group.sweeps if one.contrasts]
    idle = [one for one in sweeps if not one.matters]
    for theirs in dict.fromkeys(one.contrasts[0].theirs for one in idle):
        alike = [one for one in idle if one.contrasts[0].theirs == theirs]
        told = [verdict for one in alike for verdict in one.contrasts]
        held = ", ".join(map(_held, alike))
        yield (
            f"λ does not matter here for {held}: no strength differs from {_named(theirs)} beyond the noise; "
            f"{_largest(told)}"
        )
    for one in sweeps:
        if one.matters:
            apart = "; ".join(_apart(one.contrasts, f"than {_named(one.contrasts[0].theirs)}"))
            helps = any(verdict.winner == verdict.ours for verdict in one.contrasts)
            yield f"λ matters for {_held(one)}{'' if helps else ', and no strength helps'}: {apart}"


def _held(sweep: Sweep) -> str:
    beside = "".join(f", {terminal(key)} {value_text(value)}" for key, value in sweep.settings.items())
    return f"{terminal(sweep.method)} (toward {sweep.reference}{beside})"


def _kept(group: Group, found: Comparison) -> Iterator[str]:
    """What each method keeps of the source beside the one that all are compared with, over seeds."""
    base = next((one for one in group.methods if one.name == found.against), None)
    if not group.measure or base is None or (own := group.candidate(base.chosen).kept) is None:
        return
    more: list[str] = []
    less: list[str] = []
    alike: list[str] = []
    for contrast in group.contrasts:
        if (difference := contrast.test_set.get("kept")) is None:
            continue
        kept = f"{_named(contrast.ours)} {own.estimate + difference.estimate:.3f}"
        if difference.beyond_noise:
            (more if difference.low > 0 else less).append(f"{kept} ({difference.points})")
        else:
            alike.append(kept)
    parts = (("more", more), ("less", less), ("within the noise", alike))
    told = [f"{_named(found.against)} {own.estimate:.3f}", *(f"{how}: {', '.join(are)}" for how, are in parts if are)]
    yield f"kept of the source ({group.measure}; intervals over seeds): {'; '.join(told)}"


def _at_little_cost(group: Group) -> Iterator[str]:
    """What keeps most of the source among all that cannot cost a point of accuracy, if that is more than without."""
    chosen = {one.name: one.chosen for one in group.methods}
    swept = {one.ours: one for sweep in group.sweeps for one in sweep.contrasts}
    # a chosen candidate is told by the wider interval, which holds together with those of all methods
    methods = {
        chosen[one.ours]: replace(one.verdict, theirs=chosen[one.theirs])
        for one in group.contrasts
        if one.theirs == PLAIN
    }
    every = swept | methods
    most = _most_kept(group, every)
    penalty = _most_kept(group, {name: every[name] for name in swept})
    if most:
        yield f"at a cost of less than a point of accuracy the most is kept by {most}"
    if penalty and penalty != most:
        yield f"of the penalties, likewise, by {penalty}"


def _most_kept(group: Group, verdicts: Mapping[str, Verdict]) -> str:
    """The candidate that keeps most, with what it gains and costs, if it gains beyond the noise; else empty."""
    told = [(group.candidate(name), group.candidate(one.theirs), one.interval) for name, one in verdicts.items()]
    cheap = [
        (one, plain, cost) for one, plain, cost in told if plain.method == PLAIN and cost.low > -POINT and one.kept
    ]
    best, plain, cost = max(cheap, key=lambda each: _estimate(each[0].kept), default=(None, None, None))
    if best is None or plain is None or cost is None or (gain := _gain(best, plain)) is None or gain.low <= 0:
        return ""
    kept = _estimate(best.kept)
    return f"{terminal(best.name)}: {kept:.3f}, {gain.points} above {_named(plain.name)}; accuracy {cost.points}"


def _estimate(kept: Interval | None) -> float:
    return kept.estimate if kept else -1.0


def _gain(ours: Candidate, theirs: Candidate) -> Interval | None:
    """What is kept above what the other keeps, over the seeds of both."""
    held = {run.seed: run.kept for run in theirs.done if run.kept is not None}
    pairs = [(run.kept, held[run.seed]) for run in ours.done if run.kept is not None and run.seed in held]
    return on_test_set(*zip(*pairs, strict=True)) if len(pairs) > 1 else None


def _limits(found: Comparison) -> Iterator[str]:
    counts = sorted({one.verdict.count for group in found.groups for one in group.contrasts})
    if counts:
        yield (
            "Differences are of accuracy, paired by seed and test picture, on new data: what other seeds would give "
            f"on other test pictures; the intervals of all {counts[0]} hold together at {100 * found.level:g} %."
        )
    if len(found.seeds) == 1:
        yield "One seed shows nothing of how far seeds differ, so there is no interval, and no winner."
    for group in found.groups:
        where = f"{terminal(group.name)}: " if group.name else ""
        if group.chosen_by != "validation" and group.candidates:
            yield f"{where}chosen by {group.chosen_by}."
        if group.overlap >= 1 and group.counts:
            yield (
                f"{where}every seed trains on the same pictures, so that intervals speak of other heads and orders, "
                "and not of other training pictures."
            )
        elif group.overlap >= SHARED_MUCH and group.counts:
            yield (
                f"{where}seeds draw their training pictures from one pool and share {100 * group.overlap:.0f} % of "
                "them, so that other pools would differ more than the intervals say."
            )
    if found.failed:
        runs = "1 run" if len(found.failed) == 1 else f"{len(found.failed)} runs"
        yield f"{runs} failed; what has failed is compared on the seeds that are left."
    if found.missing:
        runs = "1 run has" if found.missing == 1 else f"{found.missing} runs have"
        yield f"{runs} not ended; this is what there is so far."


def _named(name: str) -> str:
    """A method or a candidate; plain fine-tuning in words, with what else is set."""
    method, *beside = name.split(" · ")
    return " · ".join(["plain fine-tuning" if method == PLAIN else terminal(method), *map(terminal, beside)])

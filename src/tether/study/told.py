"""Told: what a comparison comes to, in sentences that its intervals allow."""

from collections.abc import Iterator

from tether.escaping import terminal
from tether.study.axis import value_text
from tether.study.comparison import Comparison, Contrast, Group, Sweep

SHARED_MUCH = 0.1


def summary(found: Comparison) -> tuple[str, ...]:
    """The findings: a sentence for each question that the study answers, or why it cannot."""
    return tuple(sentence for group in found.groups for sentence in _of_group(group, found))


def notes(found: Comparison) -> tuple[str, ...]:
    """The limits of what is said."""
    return tuple(_limits(found))


def _of_group(group: Group, found: Comparison) -> Iterator[str]:
    where = f"{terminal(group.name)}: " if group.name else ""
    yield from (where + sentence for sentence in _methods(group, found))
    if group.transfer is not None:
        yield where + _transfer(group.transfer)
    yield from (where + _sweep(sweep) for sweep in group.sweeps if sweep.contrasts)
    if kept := _kept(group, found):
        yield where + kept


def _methods(group: Group, found: Comparison) -> Iterator[str]:
    """Which methods differ from the one that all are compared with, and by how much at least."""
    if len(group.methods) < 2:
        yield f"there is nothing to compare: the only method is {_named(group.methods[0].name)}"
        return
    if not group.contrasts:
        yield f"nothing can be compared with {terminal(found.against)}: that takes two seeds or more of both"
        return
    for contrast in group.contrasts:
        if contrast.verdict.winner is not None:
            points = contrast.verdict.interval.points
            better = contrast.verdict.winner == contrast.ours
            yield f"{_named(contrast.ours)} is {'better' if better else 'worse'} than {_named(found.against)}: {points}"
    open_ = [one for one in group.contrasts if one.verdict.winner is None]
    if open_:
        widest = max(open_, key=lambda one: abs(one.verdict.interval.estimate))
        names = ", ".join(_named(one.ours) for one in open_)
        most = f"the largest difference is {_named(widest.ours)}'s, {widest.verdict.interval.points}"
        yield f"within the noise of {_named(found.against)}: {names}; {most}"


def _transfer(contrast: Contrast) -> str:
    points = contrast.verdict.interval.points
    if contrast.verdict.winner is None:
        return f"transfer against scratch is within the noise: {points}"
    if contrast.verdict.winner == contrast.ours:
        return f"transfer helps: plain fine-tuning against scratch {points}"
    return f"negative transfer: plain fine-tuning against scratch {points}"


def _sweep(sweep: Sweep) -> str:
    against = terminal(sweep.contrasts[0].theirs)
    widest = max(sweep.contrasts, key=lambda one: abs(one.interval.estimate))
    beside = "".join(f", {terminal(key)} {value_text(value)}" for key, value in sweep.settings.items())
    held = f"{terminal(sweep.method)} (toward {sweep.reference}{beside})"
    if not sweep.matters:
        largest = f"the largest difference is {terminal(widest.ours)}'s, {widest.interval.points}"
        return f"λ does not matter here for {held}: no strength differs from {against} beyond the noise; {largest}"
    apart = [one for one in sweep.contrasts if one.winner is not None]
    told = "; ".join(f"{terminal(one.ours)} {one.interval.points}" for one in apart)
    return f"λ matters for {held}: against {against} {told}"


def _kept(group: Group, found: Comparison) -> str:
    """What each method keeps of the source beside the one that all are compared with, on this test set."""
    base = next((one for one in group.methods if one.name == found.against), None)
    if not group.measure or base is None or (own := group.candidate(base.chosen).kept) is None:
        return ""
    told = [f"{_named(found.against)} {own.estimate:.3f}"]
    for contrast in group.contrasts:
        if (difference := contrast.test_set.get("kept")) is not None:
            kept = own.estimate + difference.estimate
            beyond = "" if difference.beyond_noise else ", within the noise"
            apart = f"{difference.points}{beyond}" if difference.high > difference.low else "the same"
            told.append(f"{_named(contrast.ours)} {kept:.3f} ({apart})")
    return f"kept of the source ({group.measure}; intervals over seeds): {', '.join(told)}"


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


def _named(method: str) -> str:
    return "plain fine-tuning" if method == "none" else terminal(method)

"""Every sentence of a comparison says what its intervals allow, and no more."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether.study.comparison import Candidate, Comparison, Contrast, Group, Method, RunResult, Sweep
from tether.study.intervals import Interval
from tether.study.multiple import Verdict
from tether.study.told import notes, summary

BETTER, WORSE, OPEN = (0.1, 0.2, 0.3), (-0.3, -0.2, -0.1), (-0.1, 0.05, 0.2)
Ends = tuple[float, float, float]


def interval(ends: Ends, question: str = "on new data") -> Interval:
    low, estimate, high = ends
    return Interval(low, high, estimate, 0.95, question, "by hand", 5, 100, 0.5)  # type: ignore[arg-type]


def verdict(ours: str, theirs: str, ends: Ends, count: int = 1) -> Verdict:
    return Verdict(ours, theirs, interval(ends), 0.5, 0.95, count)


def contrast(ours: str, theirs: str, ends: Ends, *, kept: Ends | None = None, count: int = 1) -> Contrast:
    test_set = {} if kept is None else {"kept": interval(kept, "on this test set")}
    return Contrast(ours, theirs, verdict(ours, theirs, ends, count), test_set, None, None)


def candidate(name: str, kept: float | None = None) -> Candidate:
    mean = None if kept is None else interval((kept, kept, kept), "on this test set")
    runs = (RunResult(0, Path("runs"), "done"),)
    return Candidate(name, name, "varied", {}, runs, None, None, {}, None, mean, (), (), {}, None, (), 1.0)


def group(contrasts: Sequence[Contrast] = (), *, kept: float | None = None, **changes: Any) -> Group:
    methods = ["none", *(one.ours for one in contrasts), *(one.theirs for one in contrasts)]
    names = list(dict.fromkeys([*methods, *(name for one in changes.get("sweeps", ()) for name in one.candidates)]))
    found = Group(
        name="",
        settings={},
        counts={"train": 10, "validation": 5, "test": 100},
        overlap=0.05,
        chosen_by="validation",
        measure="agreement" if kept is not None else "",
        classes=("a", "b"),
        candidates=tuple(candidate(name, kept) for name in names),
        methods=tuple(Method(name, name, (name,)) for name in dict.fromkeys(methods)),
        contrasts=tuple(contrasts),
        transfer=None,
        sweeps=(),
    )
    return replace(found, **changes)


def comparison(*groups: Group, **changes: Any) -> Comparison:
    found = Comparison(
        title="net: source → data",
        against="none",
        level=0.95,
        seeds=(0, 1, 2),
        spec="",
        command="",
        environments=(),
        data={},
        groups=groups,
        summary=(),
        notes=(),
        failed=(),
        missing=0,
        seconds=0.0,
    )
    return replace(found, **changes)


def test_better_worse_and_within_the_noise() -> None:
    contrasts = [contrast("l2_sp", "none", BETTER), contrast("scratch", "none", WORSE), contrast("l2", "none", OPEN)]
    assert summary(comparison(group(contrasts))) == (
        "better than plain fine-tuning: l2_sp +20.0 points [+10.0, +30.0]",
        "worse than plain fine-tuning: scratch −20.0 points [−30.0, −10.0]",
        "within the noise of plain fine-tuning: l2; the largest difference is l2's, +5.0 points [−10.0, +20.0]",
    )


def test_of_those_within_the_noise_the_largest_is_told() -> None:
    contrasts = [contrast("a", "l2", (-0.1, 0.0, 0.1)), contrast("none", "l2", (-0.2, -0.08, 0.04))]
    assert summary(comparison(group(contrasts), against="l2")) == (
        "within the noise of l2: a, plain fine-tuning; "
        "the largest difference is plain fine-tuning's, −8.0 points [−20.0, +4.0]",
    )


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (BETTER, "transfer helps: plain fine-tuning against scratch +20.0 points [+10.0, +30.0]"),
        (WORSE, "negative transfer: plain fine-tuning against scratch −20.0 points [−30.0, −10.0]"),
        (OPEN, "transfer against scratch is within the noise: +5.0 points [−10.0, +20.0]"),
    ],
)
def test_transfer(ends: Ends, sentence: str) -> None:
    made = group([contrast("l2", "none", OPEN)], transfer=contrast("none", "scratch", ends))
    assert summary(comparison(made))[1] == sentence


def sweep(*ends: Ends, **changes: Any) -> Sweep:
    told = tuple(verdict(f"l2 · plan.scale {10**number}", "none", one) for number, one in enumerate(ends))
    names = tuple(one.ours for one in told)
    return replace(Sweep("l2", "zero", names, told, any(one.winner for one in told)), **changes)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            sweep(OPEN, BETTER, WORSE),
            "λ matters for l2 (toward zero): better than plain fine-tuning: l2 · plan.scale 10 +20.0 points "
            "[+10.0, +30.0]; worse than plain fine-tuning: l2 · plan.scale 100 −20.0 points [−30.0, −10.0]",
        ),
        (
            sweep(OPEN, WORSE),
            "λ matters for l2 (toward zero), and no strength helps: worse than plain fine-tuning: l2 · plan.scale 10 "
            "−20.0 points [−30.0, −10.0]",
        ),
        (
            sweep((-0.1, 0.01, 0.1), OPEN, settings={"optimizer.lr": 0.001}),
            "λ does not matter here for l2 (toward zero, optimizer.lr 0.001): no strength differs from plain "
            "fine-tuning beyond the noise; the largest difference is l2 · plan.scale 10's, +5.0 points [−10.0, +20.0]",
        ),
    ],
)
def test_a_sweep(found: Sweep, sentence: str) -> None:
    assert summary(comparison(group([contrast("l2", "none", OPEN)], sweeps=(found,))))[-1] == sentence


def test_a_sweep_that_could_not_be_compared_says_nothing() -> None:
    made = group([contrast("l2", "none", OPEN)], sweeps=(sweep(),))
    assert len(summary(comparison(made))) == 1


def test_what_is_kept() -> None:
    contrasts = [
        contrast("l2_sp", "none", OPEN, kept=(0.05, 0.1, 0.15)),
        contrast("l2", "none", OPEN, kept=(-0.1, 0.0, 0.1)),
        contrast("lp-ft", "none", OPEN, kept=(0.0, 0.0, 0.0)),
        contrast("l1_sp", "none", OPEN, kept=(-0.15, -0.1, -0.05)),
        contrast("scratch", "none", OPEN),
    ]
    assert summary(comparison(group(contrasts, kept=0.5)))[-1] == (
        "kept of the source (agreement; intervals over seeds): plain fine-tuning 0.500; "
        "more: l2_sp 0.600 (+10.0 points [+5.0, +15.0]); less: l1_sp 0.400 (−10.0 points [−15.0, −5.0]); "
        "within the noise: l2 0.500, lp-ft 0.500"
    )


def test_penalties_that_do_nothing_are_told_together() -> None:
    idle = [sweep(OPEN), sweep((-0.1, 0.01, 0.1), method="l2_sp", reference="source")]
    told = summary(comparison(group([contrast("l2", "none", OPEN)], sweeps=idle)))
    assert len(told) == 2
    assert told[1].startswith("λ does not matter here for l2 (toward zero), l2_sp (toward source): no strength")


CHEAP, DEAR = (-0.009, -0.002, 0.005), (-0.011, -0.002, 0.005)


def keeping(name: str, *kept: float | None) -> Candidate:
    runs = tuple(RunResult(seed, Path("runs"), "done", kept=one) for seed, one in enumerate(kept))
    held = [one for one in kept if one is not None]
    mean = interval((0.0, sum(held) / len(held), 1.0), "on this test set") if held else None
    return replace(candidate(name), runs=runs, kept=mean)


def test_what_is_kept_at_little_cost() -> None:
    contrasts = [contrast("probe", "none", CHEAP), contrast("scratch", "none", WORSE)]
    strengths = [verdict("l2 · plan.scale 1", "none", CHEAP), verdict("l2 · plan.scale 10", "none", DEAR)]
    kept = {"none": (0.5, 0.52), "probe": (0.9, 0.9), "scratch": (None, None)}
    kept |= {"l2 · plan.scale 1": (0.6, 0.63), "l2 · plan.scale 10": (0.8, 0.8)}
    made = group(
        contrasts,
        candidates=tuple(keeping(name, *values) for name, values in kept.items()),
        sweeps=(Sweep("l2", "zero", ("l2 · plan.scale 1", "l2 · plan.scale 10"), tuple(strengths), False),),
    )
    most, penalty = summary(comparison(made))[-2:]
    assert most.startswith("at a cost of less than a point of accuracy the most is kept by probe: 0.900, +39.0 points")
    assert most.endswith("; accuracy −0.2 points [−0.9, +0.5]")
    assert penalty.startswith("of the penalties, likewise, by l2 · plan.scale 1: 0.615, +10.5 points"), (
        "10 may cost one"
    )
    alike = replace(made, candidates=tuple(keeping(name, 0.5, 0.5) for name in kept))
    assert "kept by" not in "".join(summary(comparison(alike))), "nothing keeps more"
    noisy = replace(made, candidates=tuple(keeping(name, 0.1, 0.9 + 0.01 * (name != "none")) for name in kept))
    assert "kept by" not in "".join(summary(comparison(noisy))), "within the noise"


def test_what_is_kept_is_told_where_more_than_the_plan_is_varied() -> None:
    beside = " · optimizer.lr 0.01"
    strengths = (verdict(f"l2{beside}", f"none{beside}", CHEAP),)
    names = {"none": (0.5, 0.5), f"none{beside}": (0.4, 0.42), f"l2{beside}": (0.6, 0.63)}
    candidates = [replace(keeping(name, *kept), method=name.partition(" ")[0]) for name, kept in names.items()]
    swept = Sweep("l2", "zero", (f"l2{beside}",), strengths, False, {"optimizer.lr": 0.01})
    told = summary(comparison(group(candidates=tuple(candidates), sweeps=(swept,))))[-1]
    assert told.startswith(f"at a cost of less than a point of accuracy the most is kept by l2{beside}: 0.615, +20.5")
    assert f"above plain fine-tuning{beside}; accuracy" in told


def test_conditions_are_named() -> None:
    made = [
        group([contrast("l2", "none", ends)], name=f"data.fraction {share}")
        for share, ends in ((0.5, BETTER), (1.0, OPEN))
    ]
    assert [one.partition(": ")[0] for one in summary(comparison(*made))] == ["data.fraction 0.5", "data.fraction 1.0"]


def test_why_nothing_is_compared() -> None:
    two = group(methods=(Method("none", "none", ("none",)), Method("l2", "l2", ("l2",))))
    assert summary(comparison(two)) == (
        "nothing can be compared with plain fine-tuning: that takes two seeds or more of both",
    )
    assert summary(comparison(group())) == ("there is nothing to compare: the only method is plain fine-tuning",)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"overlap": 0.05}, None),
        ({"overlap": 0.25}, "and share 25 % of them, so that other pools would differ more than the intervals say."),
        ({"overlap": 1.0}, "every seed trains on the same pictures, so that intervals speak of other heads and orders"),
        ({"overlap": 1.0, "counts": {}}, None),
        ({"chosen_by": "nothing: no pictures"}, "chosen by nothing: no pictures."),
    ],
)
def test_the_limits_of_a_group(changes: dict[str, Any], told: str | None) -> None:
    found = notes(comparison(group(**changes)))
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_the_limits_of_a_study() -> None:
    found = notes(
        comparison(
            group([contrast("l2", "none", OPEN, count=7)]),
            seeds=(3,),
            failed=[("l2", 0, "it failed")] * 2,
            missing=1,
        )
    )
    assert found[0].endswith("the intervals of all 7 hold together at 95 %.")
    assert found[1:] == (
        "One seed shows nothing of how far seeds differ, so there is no interval, and no winner.",
        "2 runs failed; what has failed is compared on the seeds that are left.",
        "1 run has not ended; this is what there is so far.",
    )


def test_names_stay_in_their_sentence() -> None:
    found = summary(comparison(group([contrast("a\nb\x1b[2J", "none", BETTER)])))
    assert found == (r"better than plain fine-tuning: a\nb\x1b[2J +20.0 points [+10.0, +30.0]",)


ENDS = st.tuples(*[st.floats(-1, 1, allow_nan=False) | st.just(0.0)] * 3).map(sorted).map(tuple)


@given(st.lists(ENDS, min_size=1, max_size=6), ENDS, st.lists(ENDS, min_size=1, max_size=4))
def test_no_winner_is_named_within_the_noise(contrasts: list[Ends], transfer: Ends, strengths: list[Ends]) -> None:
    made = group(
        [contrast(f"m{number}", "none", ends) for number, ends in enumerate(contrasts)],
        transfer=contrast("none", "scratch", transfer),
        sweeps=(sweep(*strengths),),
    )
    *methods, transferred, swept = summary(comparison(made))
    for number, (low, _, high) in enumerate(contrasts):
        better, worse = (
            any(one.startswith(f"{how} than") and f" m{number} " in one for one in methods)
            for how in ("better", "worse")
        )
        assert (better, worse) == (low > 0, high < 0)
        listed = [one for one in methods if one.startswith("within the noise") and re.search(rf"\bm{number}\b", one)]
        assert bool(listed) == (not better and not worse)
    assert transferred.startswith("transfer helps") == (transfer[0] > 0)
    assert transferred.startswith("negative transfer") == (transfer[2] < 0)
    assert ("is within the noise" in transferred) == (transfer[0] <= 0 <= transfer[2])
    apart = [low > 0 or high < 0 for low, _, high in strengths]
    assert swept.startswith("λ matters") == any(apart)
    assert swept.startswith("λ does not matter here") == (not any(apart))
    if any(apart):
        assert [f"plan.scale {10**number} " in f"{swept} " for number in range(len(apart))] == apart

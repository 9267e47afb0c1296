"""Gather: from the folder of a study to what it found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from numpy import ndarray

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.registry import did_you_mean
from tether.study.comparison import METRICS, PLAIN, POINT, Comparison, Contrast, Group, Sweep
from tether.study.evidence import Evidence
from tether.study.intervals import on_test_set
from tether.study.multiple import Verdict, verdicts
from tether.study.pairs import by_item
from tether.study.part import Part, conditions
from tether.study.place import Place
from tether.study.power import items_needed, seeds_needed
from tether.study.spread import Spread
from tether.study.study import Study
from tether.study.told import notes, summary

SCRATCH = "scratch"
TRANSFER = (PLAIN, SCRATCH)
LEVEL = 0.95
ENOUGH = 2  # seeds, so that there is a spread
Scored = Float[ndarray, "seeds items"]
Pair = tuple[Evidence, Evidence]


def read_study(folder: Path | str, against: str | None = None) -> Comparison:
    """What the runs of a study have found so far.

    Args:
        against: the method that all others are compared with; plain fine-tuning when not given, or the first.

    Raises:
        DataError: there is no study, or its runs saw different test pictures.
        SettingsError: no method is named so.
    """
    place = Place(Path(folder))
    study = Study.read(place)
    parts = [Part.of(condition, study.grid, place) for condition in conditions(study.grid)]
    against = _against(parts, against)
    groups = tuple(_group(part, *found) for part, found in zip(parts, _contrasts(parts, against), strict=True))
    runs = [run for group in groups for one in group.candidates for run in one.runs]
    readings = [reading for part in parts for one in part.evidence for reading in one.readings.values()]
    made = Comparison(
        title=_title(study),
        against=against,
        level=LEVEL,
        seeds=tuple(study.seeds),
        spec=study.spec.to_toml(),
        command=study.command(place.folder),
        environments=_environments([reading.environment for reading in readings]),
        data={part.name: part.digest for part in parts},
        groups=groups,
        summary=(),
        notes=(),
        failed=_failed(parts),
        missing=len({run.folder for run in runs if run.status == "missing"}),
        seconds=sum({run.folder: float(run.outcome.get("seconds", 0.0)) for run in runs}.values()),
    )
    return replace(made, summary=summary(made), notes=notes(made))


def _group(part: Part, contrasts: Sequence[Contrast], transfer: Contrast | None) -> Group:
    return Group(
        name=part.name,
        settings=part.condition,
        counts=part.counts,
        overlap=part.overlap,
        chosen_by=part.chosen_by,
        measure=part.measure,
        classes=part.classes,
        candidates=tuple(one.candidate(len(part.classes)) for one in part.evidence),
        methods=part.methods,
        contrasts=tuple(contrasts),
        transfer=transfer,
        sweeps=tuple(_sweeps(part)),
    )


def _contrasts(parts: Sequence[Part], against: str) -> list[tuple[list[Contrast], Contrast | None]]:
    """Of every part the contrasts, and that of transfer; all of them are simultaneous, and what cannot be is none."""
    named = [dict.fromkeys((one.name, against) for one in part.methods if one.name != against) for part in parts]
    asked = [[*names, *(() if against in TRANSFER else (TRANSFER,))] for names in named]
    found = [list(_comparable(part, names)) for part, names in zip(parts, asked, strict=True)]
    told = iter(_verdicts([(pair, evidence) for rows in found for pair, evidence in rows]))
    made = [{pair: _contrast(pair, evidence, next(told)) for pair, evidence in rows} for rows in found]
    return [
        ([one[pair] for pair in names if pair in one], _transfer(one)) for names, one in zip(named, made, strict=True)
    ]


def _transfer(found: Mapping[tuple[str, str], Contrast]) -> Contrast | None:
    """Plain fine-tuning against scratch, which may be there the other way round."""
    other = found.get((SCRATCH, PLAIN))
    return found.get(TRANSFER) or (other and _turned(other))


def _turned(one: Contrast) -> Contrast:
    verdict = replace(one.verdict, ours=one.theirs, theirs=one.ours, interval=one.verdict.interval.turned)
    test_set = {metric: interval.turned for metric, interval in one.test_set.items()}
    return replace(one, ours=one.theirs, theirs=one.ours, verdict=verdict, test_set=test_set)


def _comparable(part: Part, names: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Pair]]:
    for pair in names:
        ours, theirs = part.of_method(pair[0]), part.of_method(pair[1])
        if ours is not None and theirs is not None and _is_comparable(ours, theirs):
            yield pair, (ours, theirs)


def _verdicts(pairs: Sequence[tuple[tuple[str, str], Pair]]) -> tuple[Verdict, ...]:
    return verdicts([(*names, *_scored(*evidence)) for names, evidence in pairs], level=LEVEL)


def _contrast(names: tuple[str, str], evidence: Pair, verdict: Verdict) -> Contrast:
    ours, theirs = evidence
    seeds = _common(ours, theirs)
    spread = Spread.of(by_item(*_scored(ours, theirs)))
    items = spread.items
    is_open = not verdict.interval.beyond_noise and spread.variance > 0
    differences = {}
    for metric in (*METRICS, "kept"):
        first, second = ours.scores(metric, seeds), theirs.scores(metric, seeds)
        if first is not None and second is not None:
            differences[metric] = on_test_set(first, second, level=LEVEL)
    return Contrast(
        *names,
        verdict,
        differences,
        seeds_needed(spread, POINT, items=items) if is_open else None,
        items_needed(spread, POINT, seeds=spread.seeds) if is_open else None,
    )


def _sweeps(part: Part) -> Iterator[Sweep]:
    """Each penalty over its strengths, all else equal, against plain fine-tuning, or its own weakest without that."""
    plain = {repr(one.configuration.beside): one for one in part.evidence if one.configuration.method == PLAIN}
    swept: dict[tuple[str, str, str], list[tuple[float, Evidence]]] = {}
    for one in part.evidence:
        strength, reference = next(iter(one.readings.values())).held if one.readings else (None, None)
        if strength is not None and reference is not None:
            key = (one.configuration.method, reference, repr(one.configuration.beside))
            swept.setdefault(key, []).append((strength, one))
    for (method, reference, beside), found in swept.items():
        rising = [one for _, one in sorted(found, key=lambda pair: pair[0])]
        if len({strength for strength, _ in found}) < 2:
            continue
        theirs = plain.get(beside, rising[0])
        others = [one for one in rising if one is not theirs and _is_comparable(one, theirs)]
        pairs = [((one.configuration.label, theirs.configuration.label), (one, theirs)) for one in others]
        told, names = _verdicts(pairs), tuple(one.configuration.label for one in rising)
        matters = any(one.winner for one in told)
        yield Sweep(method, reference, names, told, matters, rising[0].configuration.beside)


def _is_comparable(ours: Evidence, theirs: Evidence) -> bool:
    """Whether both have answers to the same two test pictures or more, under the same two seeds or more."""
    seeds = _common(ours, theirs)
    if len(seeds) < ENOUGH:
        return False
    return ours.is_tested and theirs.is_tested and ours.right(seeds).shape[1] > 1


def _common(ours: Evidence, theirs: Evidence) -> tuple[int, ...]:
    return tuple(seed for seed in ours.seeds if seed in theirs.readings)


def _scored(ours: Evidence, theirs: Evidence) -> tuple[Scored, Scored]:
    seeds = _common(ours, theirs)
    return ours.right(seeds), theirs.right(seeds)


def _against(parts: Sequence[Part], asked: str | None) -> str:
    names = list(dict.fromkeys(one.name for part in parts for one in part.methods))
    if asked is None:
        return PLAIN if PLAIN in names else names[0]
    if asked not in names:
        raise SettingsError(
            f"no method of the study is named `{terminal(asked)}`",
            why=f"its methods are {', '.join(f'`{terminal(name)}`' for name in names)}",
            fix=did_you_mean(asked, names),
        )
    return asked


def _title(study: Study) -> str:
    spec = study.spec
    source = f"{spec.source.path} → " if spec.source else ""
    return f"{spec.model.name}: {source}{spec.data.path}"


def _environments(found: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple({repr(sorted(one.items())): one for one in found}.values())


def _failed(parts: Sequence[Part]) -> tuple[tuple[str, int, str], ...]:
    found = {
        run.folder: (one.configuration.name, run.seed, run.error)
        for part in parts
        for one in part.evidence
        for run in one.results
        if run.status == "failed"
    }
    return tuple(found.values())

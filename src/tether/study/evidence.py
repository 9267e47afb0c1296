"""Evidence: the runs of one configuration that have ended well, and what they come to together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Bool

from tether.answers import Answers
from tether.errors import TetherError
from tether.scores import BINS
from tether.study.comparison import METRICS, Candidate, Drift, Reliability, RunResult
from tether.study.configuration import Configuration
from tether.study.intervals import Interval, on_test_set
from tether.study.place import Place
from tether.study.reading import Reading, kept

OUTPUTS = ("agreement", "kl", "features")


@dataclass(frozen=True)
class Evidence:
    """One configuration: its readings by seed, and the others with why they are none.

    Args:
        measure: what `kept` is.
    """

    configuration: Configuration
    readings: Mapping[int, Reading]
    results: tuple[RunResult, ...]
    measure: str

    @classmethod
    def of(cls, one: Configuration, seeds: Iterable[int], place: Place, measure: str) -> "Evidence":
        """Read the runs of a configuration; one that is damaged has failed."""
        readings, results = {}, []
        for seed in seeds:
            reading, result = _read(one, seed, place, measure)
            results.append(result)
            if reading is not None:
                readings[seed] = reading
        return cls(one, readings, tuple(results), measure)

    def measured(self, measure: str) -> "Evidence":
        """The same by another measure of what is kept."""
        results = tuple(replace(run, kept=kept(run.outcome, measure)) for run in self.results)
        return replace(self, results=results, measure=measure)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those with a run that has ended well."""
        return tuple(self.readings)

    @property
    def is_whole(self) -> bool:
        """Whether every seed has ended well."""
        return len(self.readings) == len(self.results)

    @cached_property
    def mark(self) -> tuple[float, float] | None:
        """Mean validation accuracy and −NLL; none unless every run has them."""
        found = [run.validation for run in self.results if run.status == "done"]
        if not found or not all(found):
            return None
        return fmean(one["accuracy"] for one in found), -fmean(one["nll"] for one in found)

    def right(self, seeds: Sequence[int]) -> Bool[np.ndarray, "seeds items"]:
        """Whether each answer was right, by seed and test item."""
        return np.stack([answers.right for answers in self._answers(seeds)])

    def scores(self, metric: str, seeds: Sequence[int]) -> list[float] | None:
        """One figure a seed; none unless every seed has it."""
        by_seed = {run.seed: run for run in self.results}
        runs = [by_seed[seed] for seed in seeds]
        found = [run.kept if metric == "kept" else run.test.get(metric) for run in runs]
        return [value for value in found if value is not None] if found and None not in found else None

    def candidate(self, classes: int) -> Candidate:
        """What the report shows of it."""
        one = self.configuration
        first = next(iter(self.readings.values()), None)
        strength, reference = first.held if first else (None, None)
        means = {metric: mean for metric in METRICS if (mean := self._mean(metric)) is not None}
        outcomes = [reading.outcome for reading in self.readings.values()]
        answers = self._answers(self.seeds) if self.is_tested else []
        return Candidate(
            name=one.label,
            method=one.method,
            role=one.role,
            settings=one.settings,
            runs=self.results,
            strength=strength,
            reference=reference,
            means=means,
            validation=(self.mark[0], -self.mark[1]) if self.mark else None,
            kept=self._mean("kept"),
            history=_history([reading.rows for reading in self.readings.values()]),
            drift=_drift([reading.drift for reading in self.readings.values()]),
            outputs=_outputs(outcomes),
            reliability=_reliability(answers) if answers else None,
            confusion=_confusion(answers, classes) if answers else (),
            seconds=fmean(float(outcome.get("seconds", 0.0)) for outcome in outcomes) if outcomes else 0.0,
        )

    @property
    def is_tested(self) -> bool:
        """Whether there are runs, and all have answers to test pictures."""
        return bool(self.readings) and all(reading.answers is not None for reading in self.readings.values())

    def _answers(self, seeds: Sequence[int]) -> list[Answers]:
        found = [self.readings[seed].answers for seed in seeds]
        return [answers for answers in found if answers is not None]

    def _mean(self, metric: str) -> Interval | None:
        found = self.scores(metric, self.seeds)
        if not found:
            return None
        if len(found) > 1:
            return on_test_set(found, [0.0] * len(found))
        return Interval(found[0], found[0], found[0], 0.0, "on this test set", "one seed", 1, None, 1.0)


def _read(one: Configuration, seed: int, place: Place, measure: str) -> tuple[Reading | None, RunResult]:
    name = one.folder(seed)
    folder = place.run(name).relative_to(place.folder)
    if place.is_done(name):
        reading = Reading(place.run(name), seed)
        try:
            reading.verify()
        except TetherError as error:
            return None, RunResult(seed, folder, "failed", error.what)
        return reading, reading.result(measure)
    if why := place.failure(name):
        return None, RunResult(seed, folder, "failed", why)
    return None, RunResult(seed, folder, "missing")


def _history(runs: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Mapping[str, float], ...]:
    """Means over the runs, up to the epoch that all have reached."""
    names = ("loss", "train_accuracy", "validation_accuracy", "validation_nll")
    return tuple(
        {"epoch": float(number), **{name: fmean(row[name] for row in rows) for name in names if name in rows[0]}}
        for number, rows in enumerate(zip(*runs, strict=False), start=1)
    )


def _drift(runs: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Drift, ...]:
    """By module: norms add up in squares, and the largest row sum is the largest of its parameters."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for rows in runs:
        layers: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            layers.setdefault(str(row["name"]).rpartition(".")[0] or str(row["name"]), []).append(row)
        for layer, parts in layers.items():
            norm = sum(part["norm"] ** 2 for part in parts) ** 0.5
            reference = sum(part["reference"] ** 2 for part in parts) ** 0.5
            mars = max(part["mars"] for part in parts)
            found.setdefault(layer, []).append((norm, norm / reference if reference else 0.0, mars))
    return tuple(Drift(layer, *(fmean(column) for column in zip(*rows, strict=True))) for layer, rows in found.items())


def _outputs(outcomes: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
    targets = [(outcome.get("agreement") or {}).get("target") for outcome in outcomes]
    found = [target for target in targets if target]
    if not found or len(found) < len(outcomes):
        return {}
    values = {name: [target[name] for target in found] for name in OUTPUTS}
    return {name: fmean(each) for name, each in values.items() if None not in each}


def _reliability(answers: Sequence[Answers]) -> Reliability:
    confidence = np.concatenate([one.confidence for one in answers])
    right = np.concatenate([one.right for one in answers])
    which = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    counts = np.bincount(which, minlength=BINS)
    safe = np.maximum(counts, 1)
    return Reliability(
        tuple(counts.tolist()),
        tuple((np.bincount(which, weights=confidence, minlength=BINS) / safe).tolist()),
        tuple((np.bincount(which, weights=right, minlength=BINS) / safe).tolist()),
    )


def _confusion(answers: Sequence[Answers], classes: int) -> tuple[tuple[int, ...], ...]:
    pairs = sum(np.bincount(one.truth * classes + one.guess, minlength=classes**2) for one in answers)
    return tuple(map(tuple, np.asarray(pairs).reshape(classes, classes).tolist()))

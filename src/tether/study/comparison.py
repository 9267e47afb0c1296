"""Comparison: what a study found, as its report shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tether.escaping import printable
from tether.study.intervals import Interval
from tether.study.multiple import Verdict
from tether.study.power import Needed

Metrics = Mapping[str, float]
METRICS = ("accuracy", "balanced", "f1", "nll", "brier", "ece", "auroc")
LOWER_IS_BETTER = frozenset({"nll", "brier", "ece"})
PLAIN = "none"  # the name of plain fine-tuning, with no penalty
POINT = 0.01  # of accuracy


@dataclass(frozen=True)
class RunResult:
    """One run of a study, or why there is none.

    Args:
        folder: the run folder, relative to the study's.
        status: `missing` where it has not run or not ended, `failed` where it ended with an error.
        error: one line; empty unless it failed.
        test, validation: scores by the metric's name; empty where there are none.
        kept: what it keeps of the source, by the group's measure of retention; None where it is not measured.
        outcome: all of its `outcome.json`.
    """

    seed: int
    folder: Path
    status: Literal["done", "failed", "missing"]
    error: str = ""
    test: Metrics = field(default_factory=dict)
    validation: Metrics = field(default_factory=dict)
    kept: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Reliability:
    """How often answers of one confidence are right, over all runs of a candidate; bins are of equal width."""

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Drift:
    """How far a layer moves from the source; means over the runs.

    Args:
        layer: the module's name.
        norm: ‖δ‖; relative: ‖δ‖/‖w₀‖; mars: the largest absolute row sum of the matricised displacement.
    """

    layer: str
    norm: float
    relative: float
    mars: float


@dataclass(frozen=True)
class Candidate:
    """One configuration under every seed.

    Args:
        name: unlike every other's in its group.
        method: the name of the method that it is a candidate of.
        settings: what of its settings the study varies beside the plan and the group's, by dotted key.
        strength: of the L2 that holds most transferred values, where there is one; reference: what to.
        means: by metric, over the seeds that are done: the mean with Student's interval, on this test set.
        validation: the mean validation accuracy and negative log likelihood; None without validation pictures.
        kept: the mean of what is kept with its interval; None where it is not measured.
        history: a row an epoch, means over the runs: `epoch`, `loss`, `train_accuracy` and, where there are validation
            pictures, `validation_accuracy` and `validation_nll`.
        confusion: (classes, classes), truth by guess, over all runs.
        outputs: how far the outputs move from the source's on target pictures: `agreement`, `kl`, `features`; means.
        seconds: the mean of a run.
    """

    name: str
    method: str
    role: Literal["baseline", "varied"]
    settings: Mapping[str, Any]
    runs: tuple[RunResult, ...]
    strength: float | None
    reference: str | None
    means: Mapping[str, Interval]
    validation: tuple[float, float] | None
    kept: Interval | None
    history: tuple[Mapping[str, float], ...]
    drift: tuple[Drift, ...]
    outputs: Mapping[str, float]
    reliability: Reliability | None
    confusion: tuple[tuple[int, ...], ...]
    seconds: float

    @property
    def done(self) -> tuple[RunResult, ...]:
        """The runs that have ended well."""
        return tuple(run for run in self.runs if run.status == "done")


@dataclass(frozen=True)
class Method:
    """A way to train, with the candidate that validation chose for it.

    Args:
        chosen: the name of the candidate.
        candidates: the names of all that it was chosen from.
        trials: of the searches that have chosen numbers of the candidates, all together; 0 where there was none.
    """

    name: str
    chosen: str
    candidates: tuple[str, ...]
    trials: int = 0


@dataclass(frozen=True)
class Contrast:
    """A method against another, by what each was chosen to be.

    Args:
        verdict: on new data, simultaneous with every other contrast of the study.
        test_set: by metric, ours above theirs on this test set; `kept` among them where it is measured.
        seeds_needed, items_needed: how many it takes to see a difference of one point; None where it is seen.
    """

    ours: str
    theirs: str
    verdict: Verdict
    test_set: Mapping[str, Interval]
    seeds_needed: Needed | None
    items_needed: Needed | None


@dataclass(frozen=True)
class Sweep:
    """A penalty over its strengths: what each does against no penalty.

    Args:
        candidates: names, by rising strength.
        contrasts: one a candidate, against `theirs` (plain fine-tuning), simultaneous within the sweep.
        matters: whether the strongest claim that the intervals allow is that strength matters.
        settings: what of its candidates' settings the study varies beside the plan, by dotted key; theirs has the same.
    """

    method: str
    reference: str
    candidates: tuple[str, ...]
    contrasts: tuple[Verdict, ...]
    matters: bool
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """The methods under one condition: one set of data, one source, one network.

    Args:
        settings: what the condition sets, by dotted key; empty where none is varied.
        counts: training, validation and test pictures.
        overlap: the mean share of training pictures that two seeds have in common.
        chosen_by: `validation`, or why nothing was chosen.
        measure: what `kept` is; empty where it is not measured.
        transfer: plain fine-tuning against scratch; None where one of them is not in the study.
        classes: names, in the order of the confusion matrix.
    """

    name: str
    settings: Mapping[str, Any]
    counts: Mapping[str, int]
    overlap: float
    chosen_by: str
    measure: str
    classes: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    methods: tuple[Method, ...]
    contrasts: tuple[Contrast, ...]
    transfer: Contrast | None
    sweeps: tuple[Sweep, ...]

    def candidate(self, name: str) -> Candidate:
        """The candidate of that name."""
        return next(one for one in self.candidates if one.name == name)

    def method(self, name: str) -> Method:
        """The method of that name."""
        return next(one for one in self.methods if one.name == name)


@dataclass(frozen=True)
class Comparison:
    """What a study found.

    Args:
        title: what was trained on what, in one line.
        against: the method that all others are compared with.
        spec: the study's base spec as TOML.
        command: the command that makes this study again.
        environments: the different ones that its runs ran in.
        data: by group, the SHA-256 of its data.
        notes: the limits of what is said, a sentence each.
        failed: `(candidate, seed, error)` of each run that failed.
        seconds: of all runs together.
    """

    title: str
    against: str
    level: float
    seeds: tuple[int, ...]
    spec: str
    command: str
    environments: tuple[Mapping[str, Any], ...]
    data: Mapping[str, str]
    groups: tuple[Group, ...]
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    failed: Sequence[tuple[str, int, str]]
    missing: int
    seconds: float

    def __str__(self) -> str:
        return "\n".join(map(printable, [self.title, *self.summary, *self.notes]))

"""Search: the trials of one configuration, of which validation chooses."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tether.errors import TetherError
from tether.settings import key_parts
from tether.spec import RunSpec
from tether.study.configuration import Configuration
from tether.study.found import Found, tuned
from tether.study.journal import Journal, sampler
from tether.study.known import PRESETS
from tether.study.place import Place
from tether.study.reading import Reading
from tether.study.runner import Run
from tether.study.space import ARGUMENT, Range

if TYPE_CHECKING:
    from optuna.distributions import FloatDistribution, IntDistribution
    from optuna.trial import FrozenTrial, Trial

SEEDS = 3  # of a trial at most
TIE = 1e-6  # less than one picture of a million, so that the likelihood decides between equal accuracies only
OWN, BY, FAILED, AGAIN, WITH = "own", "by", "failed", "again", "with"
SPEC = "spec.toml"
Mark = tuple[float, float]
Told = Callable[[Configuration, str], None]


@dataclass(eq=False)
class Flight:
    """A trial under way: its configuration, and the validation accuracy and NLL of each seed so far.

    Args:
        trial: none for the configuration as it is, which every search tries first.
    """

    one: Configuration
    trial: "Trial | None" = None
    marks: list[Mark] = field(default_factory=list)


class Search:
    """Trials of a configuration, until so many have ended here and on other machines.

    The first is the configuration as it is, so that a search chooses nothing that does worse on validation. A trial
    runs seed by seed, and is pruned where it falls behind the median of the others under the same seeds. One that a
    process left when it died does not count, and its settings are tried again, by which its runs go on.

    Args:
        ranges: what is drawn.
        seeds: of the study, of which a trial runs under the first three.
        trials: how many, with the configuration as it is.
    """

    def __init__(
        self, one: Configuration, ranges: Sequence[Range], seeds: Sequence[int], *, trials: int, journal: Journal
    ) -> None:
        self.one, self.ranges, self.seeds, self.trials = one, tuple(ranges), trial_seeds(seeds), trials
        self.journal = journal
        self.flights = [Flight(one)]
        self._own: list[Mark] | None = None  # of the configuration as it is, when it has ended; empty where it failed
        self._study = journal.study(self.name)

    @property
    def name(self) -> str:
        """Equal for searches of the same, whatever the number of trials."""
        words = [self.one.digest, list(self.seeds), sorted(map(str, self.ranges))]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(1 for trial in self._others() if trial.state.is_finished()) + (self._own is not None)

    @property
    def is_over(self) -> bool:
        """Whether as many trials as are wanted have ended."""
        return not self.flights and self.ended >= self.trials

    def fill(self, count: int) -> None:
        """Begin trials, until so many are under way here or no more are wanted."""
        if len(self.flights) >= count:
            return
        with self.journal.used():
            self._reap()
            while len(self.flights) < count and len(self._others()) < self.trials - 1:
                self.flights.append(self._begin())

    def due(self) -> list[Run]:
        """The next run of each trial that is under way."""
        return [(each.one, self.seeds[len(each.marks)]) for each in self.flights]

    def take(self, ended: Mapping[str, str], place: Place, told: Told) -> None:
        """Take what came of runs, by folder: `done` or `failed`; the others are due again.

        Args:
            told: gets the configuration of each trial that ends, and what came of it.
        """
        with self.journal.used():
            for flight in list(self.flights):
                seed = self.seeds[len(flight.marks)]
                came = ended.get(flight.one.folder(seed))
                if came not in ("done", "failed"):
                    continue
                mark, why = _mark(place, flight.one, seed) if came == "done" else (None, "")
                self._went(flight, mark, why or place.failure(flight.one.folder(seed)), told)
                if flight.trial is None and flight not in self.flights:
                    self._tell_own(place)

    def found(self) -> Found:
        """The best of the trials that have ended, the earliest of equals; those that were pruned are not chosen."""
        others = self._others()
        best, settings = (_value(self._own) if self._own else -math.inf), dict[str, float]()
        for trial in others:
            if trial.state.name == "COMPLETE" and trial.value is not None and trial.value > best:
                best, settings = trial.value, self._settings(trial.params)
        failed = sum(FAILED in trial.user_attrs for trial in others)
        pruned = sum(trial.state.name == "PRUNED" for trial in others) - failed
        return Found(
            settings=settings,
            made=self.ended,
            pruned=pruned,
            failed=failed + (self._own == []),
            seeds=self.seeds,
            ranges={each.key: (each.low, each.high) for each in self.ranges},
        )

    def _went(self, flight: Flight, mark: Mark | None, why: str, told: Told) -> None:
        """Note how a run of a trial did, and end the trial where it failed, fell behind or has all its seeds."""
        trial, step = flight.trial, len(flight.marks)
        if mark is None:
            if trial is not None:
                trial.set_user_attr(FAILED, why)
                trial.report(0.0, step)
            self._end(flight, "PRUNED", None)
            told(flight.one, f"failed: {why}")
            return
        flight.marks.append(mark)
        accuracy = fmean(one for one, _ in flight.marks)
        if trial is not None:
            trial.report(_value(flight.marks), step)
        if len(flight.marks) == len(self.seeds):
            self._end(flight, "COMPLETE", _value(flight.marks))
            told(flight.one, f"{accuracy:.3f}")
        elif trial is not None and trial.should_prune():
            self._end(flight, "PRUNED", None)
            told(flight.one, f"pruned at {accuracy:.3f} after {_runs(step + 1)}")

    def _end(self, flight: Flight, state: str, value: float | None) -> None:
        from optuna.trial import TrialState

        self.flights.remove(flight)
        if flight.trial is None:
            self._own = flight.marks if state == "COMPLETE" else []
        else:
            self._study.tell(flight.trial, value, state=TrialState[state])

    def _begin(self) -> Flight:
        """Draw a trial; which one is a function of those that count, so that one that was killed draws the same."""
        seed = int.from_bytes(hashlib.sha256(f"{self.name} {len(self._others())}".encode()).digest()[:4], "big")
        self._study.sampler = sampler(seed)
        trial = self._study.ask(dict(self._distributions()))
        trial.set_user_attr(BY, self.journal.word)
        return Flight(tuned(self.one, self._settings(trial.params)), trial)

    def _reap(self) -> None:
        """Let go of trials whose process has died, and have their settings tried again."""
        from optuna.trial import TrialState

        known = self._study.get_trials(deepcopy=False)
        for trial in known:
            if trial.state == TrialState.RUNNING and not self.journal.lives(trial.user_attrs.get(BY)):
                self._study.tell(trial.number, state=TrialState.FAIL)
        again = {trial.user_attrs.get(AGAIN) for trial in known}
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
            settings = {**trial.user_attrs.get(WITH, {}), **trial.params}
            if trial.number not in again and settings.keys() == dict(self._distributions()).keys():
                self._study.enqueue_trial(settings, user_attrs={AGAIN: trial.number, WITH: settings})

    def _others(self) -> "list[FrozenTrial]":
        """The trials that count beside the configuration as it is: of this process, of those that live, and ended."""
        left = ("WAITING", "FAIL")  # FAIL is of a process that died: what failed by itself is PRUNED, and so teaches
        found = self._study.get_trials(deepcopy=False)
        return [one for one in found if one.state.name not in left and OWN not in one.user_attrs]

    def _tell_own(self, place: Place) -> None:
        """Let the sampler and the pruner learn of the configuration as it is, where its values lie in the ranges."""
        import optuna

        values = self._own_values(place) if self._own else None
        if values is None or any(OWN in trial.user_attrs for trial in self._study.get_trials(deepcopy=False)):
            return
        marks = self._own or []
        self._study.add_trial(
            optuna.trial.create_trial(
                params=values,
                distributions=dict(self._distributions()),
                value=_value(marks),
                intermediate_values={at: _value(marks[: at + 1]) for at in range(len(marks))},
                user_attrs={OWN: True},
            )
        )

    def _own_values(self, place: Place) -> dict[str, float] | None:
        """Its own values of what is searched, as its run has settled them; none unless all lie in the ranges."""
        try:
            spec = RunSpec.from_toml(place.run(self.one.folder(self.seeds[0])) / SPEC).model_dump()
        except TetherError:
            return None
        known = PRESETS.get(self.one.spec.plan.preset or "none")
        defaults = {f"{ARGUMENT}{name}": value for name, value in known.defaults.items()} if known else {}
        values = {each.key: _value_of(spec, each.key) or defaults.get(each.key) for each in self.ranges}
        inside = {
            each.key: value
            for each in self.ranges
            if isinstance(value := values[each.key], int | float) and each.low <= value <= each.high
        }
        return inside if len(inside) == len(self.ranges) else None

    def _settings(self, params: Mapping[str, Any]) -> dict[str, float]:
        return {each.key: each.near(params[each.key]) for each in self.ranges}

    def _distributions(self) -> "Mapping[str, FloatDistribution | IntDistribution]":
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            each.key: IntDistribution(int(each.low), int(each.high), log=True)
            if each.whole
            else FloatDistribution(each.low, each.high, log=True)
            for each in self.ranges
        }


def trial_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds of a study under which each trial runs."""
    return tuple(seeds[:SEEDS])


def _mark(place: Place, one: Configuration, seed: int) -> tuple[Mark | None, str]:
    """Validation accuracy and NLL of a run, or why it has none."""
    folder = place.run(one.folder(seed))
    try:
        found = Reading(folder, seed).result("").validation
    except TetherError as error:
        return None, error.what
    if not math.isfinite(found.get("accuracy", math.nan)):
        return None, f"`{folder}` has no accuracy on validation"
    return (found["accuracy"], found.get("nll", math.inf)), ""


def _value(marks: Sequence[Mark]) -> float:
    """What is sought: the mean accuracy and, where that is equal, the lower mean NLL."""
    nll = fmean(one for _, one in marks)
    return fmean(one for one, _ in marks) - TIE * (nll / (1 + nll) if math.isfinite(nll) else 1.0)


def _value_of(spec: Any, key: str) -> Any:
    for part in key_parts(key):
        spec = spec.get(part) if isinstance(spec, Mapping) else None
    return spec


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"

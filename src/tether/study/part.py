"""Part: all that a study has tried under one condition, and what validation chose of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import fmean
from typing import Any

from tether.errors import DataError
from tether.study.axis import value_text
from tether.study.comparison import Method
from tether.study.configuration import Configuration
from tether.study.evidence import Evidence
from tether.study.grid import Grid
from tether.study.place import Place
from tether.study.reading import MEASURES, Reading, kept

VALIDATION = "validation"
UNCHOSEN = "nothing: without validation pictures every configuration stands for itself"


@dataclass(frozen=True)
class Part:
    """The configurations of one condition, in the order of the grid, with what their runs have left.

    Raises:
        DataError: runs of one condition had other data, or were tested on other pictures.
    """

    condition: Mapping[str, Any]
    evidence: tuple[Evidence, ...]

    @classmethod
    def of(cls, condition: Mapping[str, Any], grid: Grid, place: Place) -> "Part":
        """Read the runs of a condition; what is kept of the source is told by one measure for all."""
        within = [one for one in grid.configurations if one.stands_in(condition)]
        tried = [Evidence.of(one, grid.seeds, place, "") for one in within]
        measure = _measure(tried)
        part = cls(condition, tuple(one.measured(measure) for one in tried))
        part.refuse_other_pictures()
        return part

    @property
    def name(self) -> str:
        """The condition in words; empty where none is varied."""
        return " · ".join(f"{key} {value_text(value)}" for key, value in self.condition.items())

    @property
    def measure(self) -> str:
        """What `kept` is."""
        return self.evidence[0].measure

    @cached_property
    def is_validated(self) -> bool:
        """Whether there is validation to choose by."""
        found = [one for one in self.evidence if one.readings]
        return bool(found) and all(one.mark is not None for one in found)

    @property
    def chosen_by(self) -> str:
        """By what the candidates were chosen."""
        return VALIDATION if self.is_validated else UNCHOSEN

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """Every method with its chosen candidate; without validation every candidate is one by itself."""
        if not self.is_validated:
            tried = (one.configuration for one in self.evidence)
            return tuple(Method(one.label, one.label, (one.label,), one.trials) for one in tried)
        names = dict.fromkeys(one.configuration.method for one in self.evidence)
        return tuple(self._chosen(name) for name in names)

    def _chosen(self, method: str) -> Method:
        """The best on validation among the candidates with the most runs, so that one that fails is not chosen."""
        tried = [one for one in self.evidence if one.configuration.method == method]
        most = max(len(one.readings) for one in tried)
        able = [one for one in tried if len(one.readings) == most]
        best = max(able, key=lambda one: one.mark or (-1.0, 0.0))
        trials = sum(one.configuration.trials for one in tried)
        return Method(method, best.configuration.label, tuple(one.configuration.label for one in tried), trials)

    def of_method(self, name: str) -> Evidence | None:
        """The evidence of a method's chosen candidate."""
        chosen = next((one.chosen for one in self.methods if one.name == name), None)
        return next((one for one in self.evidence if one.configuration.label == chosen), None)

    @cached_property
    def first(self) -> Reading | None:
        """Any run that has ended well."""
        return next((reading for one in self.evidence for reading in one.readings.values()), None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the head."""
        return self.first.classes if self.first else ()

    @property
    def counts(self) -> Mapping[str, int]:
        """Training, validation and test pictures of a seed."""
        if self.first is None:
            return {}
        return {name: len(self.first.split[name]) for name in ("train", "validation", "test")}

    @property
    def digest(self) -> str:
        """SHA-256 of the data."""
        return str(self.first.split["digest"]) if self.first else ""

    @cached_property
    def overlap(self) -> float:
        """The mean share of the training pictures of a seed that another one has too."""
        drawn = {seed: set(reading.split["train"]) for seed, reading in self._by_seed()}
        shares = [len(one & other) / max(len(one), 1) for one, other in combinations(drawn.values(), 2)]
        return fmean(shares) if shares else 1.0

    def _by_seed(self) -> Iterator[tuple[int, Reading]]:
        fullest = max(self.evidence, key=lambda one: len(one.readings))
        yield from fullest.readings.items()

    def refuse_other_pictures(self) -> None:
        """Refuse runs on other data than the first one's, or tested on others of its pictures.

        Raises:
            DataError: see above.
        """
        for one in self.evidence:
            for reading in one.readings.values():
                for key, what in (("test_digest", "was tested on other pictures"), ("digest", "had other data")):
                    if self.first is not None and reading.split[key] != self.first.split[key]:
                        raise DataError(
                            f"`{reading.folder}` {what} than `{self.first.folder}`",
                            why="methods are compared on the same pictures, and the data were changed between",
                            fix="remove the runs from before the change, and give the command of the study again",
                        )


def conditions(grid: Grid) -> list[Mapping[str, Any]]:
    """The different conditions of a grid, without those that only runs from scratch have and that lie in others."""
    ordinary = _different(one.condition for one in grid.configurations if one.kind != "scratch")
    scratch = _different(one.condition for one in grid.configurations if one.kind == "scratch")
    return ordinary + [one for one in scratch if not any(one.items() <= other.items() for other in ordinary)]


def _different(found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list({repr(one): one for one in found}.values())


def _measure(tried: list[Evidence]) -> str:
    """The first measure that every run with a source has; empty where there is none."""
    outcomes = [reading.outcome for one in tried if _has_source(one.configuration) for reading in one.readings.values()]
    full = (name for name in MEASURES if outcomes and all(kept(outcome, name) is not None for outcome in outcomes))
    return next(full, "")


def _has_source(one: Configuration) -> bool:
    return one.spec.source is not None

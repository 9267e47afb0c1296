"""Progress of a study: what has ended, about how long the rest takes, and what is best so far on validation."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import fmean

from tether.escaping import terminal


@dataclass
class Progress:
    """Of so many runs, each with an estimate of its seconds.

    Args:
        total: runs to make.
        jobs: how many are made at once.
        left: the estimate of what has not ended.
    """

    total: int
    jobs: int
    left: float
    ended: int = 0
    expected: float = 0.0
    taken: float = 0.0
    validation: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(dict))
    within: str = ""

    def end(
        self, name: str, *, estimate: float, seconds: float | None, accuracy: float | None, within: str = ""
    ) -> None:
        """Count a run that has ended.

        Args:
            seconds: none where it took no time of its own.
            within: its condition, since only what is learnt from the same can be compared.
        """
        self.ended, self.within = self.ended + 1, within
        self.left = max(0.0, self.left - estimate)
        if seconds is not None:
            self.expected, self.taken = self.expected + estimate, self.taken + seconds
        if accuracy is not None:
            self.validation[within].setdefault(name, []).append(accuracy)

    @property
    def seconds_left(self) -> float:
        """The estimate of the rest, corrected by how the runs so far kept to theirs."""
        return self.left * (self.taken / self.expected if self.expected else 1.0) / self.jobs

    @property
    def best(self) -> str:
        """Of the condition that a run has ended in, the best of those with the most runs; empty without validation."""
        held = self.validation[self.within]
        most = max(map(len, held.values()), default=0)
        means = {name: fmean(found) for name, found in held.items() if len(found) == most}
        if not means:
            return ""
        name = max(means, key=lambda one: means[one])
        runs = f"{most} run{'s' * (most > 1)}"
        return f"best on validation so far: {terminal(name)} {means[name]:.3f} ({runs})"

    def line(self, what: str) -> str:
        """One line: how many, what has ended, time left, the best."""
        width = len(str(self.total))
        left = f"about {duration(self.seconds_left)} left" if self.ended < self.total else "the last"
        return " · ".join(filter(None, (f"{self.ended:>{width}}/{self.total}", what, left, self.best)))


def duration(seconds: float) -> str:
    """A length of time in words.

    >>> duration(42), duration(600), duration(8000)
    ('42 s', '10 min', '2 h 13 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"

"""Several comparisons at once: intervals that hold together, Holm's test, and the winners that they allow to name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tether.errors import SettingsError
from tether.study.intervals import Interval, on_new_data
from tether.study.pairs import checked_level


@dataclass(frozen=True)
class Verdict:
    """One of several comparisons, and whether it names a winner.

    Args:
        interval: on new data, at a level at which all the intervals hold together at `level`.
        p: Holm's, to be compared with 1 − level.
        count: how many comparisons were made.
    """

    ours: str
    theirs: str
    interval: Interval
    p: float
    level: float
    count: int

    @property
    def winner(self) -> str | None:
        """The better of the two; None where the simultaneous interval on new data has zero within."""
        if not self.interval.beyond_noise:
            return None
        return self.ours if self.interval.low > 0 else self.theirs

    @property
    def words(self) -> str:
        """What may be said."""
        if self.winner:
            return f"{self.winner} is better"
        if self.p < 1 - self.level:
            return "they differ by Holm's test, but how much is within the noise: no winner is named"
        return "the difference is within the noise"

    def __str__(self) -> str:
        together = f"{100 * self.level:.4g} %" + (f" for all {self.count} together" if self.count > 1 else "")
        said = f"{self.interval.points}, {together}, {self.interval.source}"
        p = f"Holm's p {self.p:.3f}" if self.p >= 0.001 else "Holm's p < 0.001"
        return f"{self.ours} against {self.theirs}: {said}; {p}: {self.words}"


def compare(scores: Mapping[str, ArrayLike], against: str, *, level: float = 0.95) -> tuple[Verdict, ...]:
    """Every method against one of them, on new data.

    The intervals hold together by Bonferroni's inequality, each at 1 − (1 − level)/m for m comparisons. Holm's test
    (1979) is sharper, but intervals at its levels do not hold together (docs/statistics.md), so a winner takes these.

    Args:
        scores: (seeds, items) by the method's name, the same seeds and items in all.

    Raises:
        SettingsError: `against` names none of them, there is no other, or the level does not lie between 0 and 1.
        DataError: two of them cannot be paired.

    >>> rng = np.random.default_rng(0)
    >>> scores = {"l2": rng.random((5, 400)) < 0.6, "l2_sp": rng.random((5, 400)) < 0.8}
    >>> for verdict in compare(scores, "l2"):
    ...     print(verdict)
    l2_sp against l2: +20.3 points [+16.8, +23.8], 95 %, on new data (crossed t over 5 seeds and 400 items);
    Holm's p < 0.001: l2_sp is better
    """
    others = [name for name in scores if name != against]
    if against not in scores or not others:
        raise SettingsError(
            f"there is nothing to compare with `{against}`" if against in scores else f"no method is named `{against}`",
            why=f"the methods with scores are {', '.join(f'`{name}`' for name in scores) or 'none'}",
            fix="name one of two or more methods that have scores",
        )
    return verdicts([(name, against, scores[name], scores[against]) for name in others], level=level)


def verdicts(pairs: Sequence[tuple[str, str, ArrayLike, ArrayLike]], *, level: float = 0.95) -> tuple[Verdict, ...]:
    """Compare pairs, all of them together, whatever data each is on.

    Args:
        pairs: the two names, and the scores (seeds, items) of both.

    Raises:
        SettingsError: the level does not lie between 0 and 1.
        DataError: two of them cannot be paired.
    """
    each = 1 - (1 - checked_level(level)) / max(len(pairs), 1)
    found = [on_new_data(ours, theirs, level=each) for _, _, ours, theirs in pairs]
    adjusted = holm([interval.p for interval in found])
    rows = zip(pairs, found, adjusted, strict=True)
    return tuple(Verdict(name, other, interval, p, level, len(pairs)) for (name, other, _, _), interval, p in rows)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down p-values: the k-th smallest of m times m − k + 1, and never below a smaller one's.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]

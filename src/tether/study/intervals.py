"""Intervals: the paired difference of two methods, how far it may be off, and for which question.

`on_test_set` asks what other seeds would give on these very test items; `on_new_data` what other seeds would give on
other items too, and only that names a winner; `on_new_draws` what training and test data drawn anew would give.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from tether.errors import SettingsError
from tether.study.pairs import by_item, by_seed, checked_level
from tether.study.spread import Spread

Question = Literal["on this test set", "on new data", "on new draws"]


@dataclass(frozen=True)
class Interval:
    """A difference of two methods, ours above theirs, with the interval that holds the true one at this level.

    Args:
        question: what the true difference is that of.
        items: None where the scores are not told by item.
        p: the probability of a difference as large as this one in either direction if there were none.

    >>> print(Interval(-0.002, 0.028, 0.013, 0.95, "on new data", "crossed t", 10, 200, 0.09))
    +1.3 points [−0.2, +2.8], 95 %, on new data (crossed t over 10 seeds and 200 items)
    """

    low: float
    high: float
    estimate: float
    level: float
    question: Question
    method: str
    seeds: int
    items: int | None
    p: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    @property
    def turned(self) -> "Interval":
        """What theirs is above ours."""
        return replace(self, low=-self.high, high=-self.low, estimate=-self.estimate)

    @property
    def points(self) -> str:
        """The difference and its ends in percentage points."""
        digits = 1 if self.high - self.low >= 0.01 else 2
        middle, low, high = (f"{100 * value:+z.{digits}f}" for value in (self.estimate, self.low, self.high))
        return f"{middle} points [{low}, {high}]".replace("-", "−")

    @property
    def source(self) -> str:
        """The question, and what it is answered from."""
        items = f" and {self.items:,} items" if self.items else ""
        return f"{self.question} ({self.method} over {self.seeds} seeds{items})"

    def __str__(self) -> str:
        return f"{self.points}, {100 * self.level:.4g} %, {self.source}"


def on_test_set(ours: ArrayLike, theirs: ArrayLike, *, level: float = 0.95) -> Interval:
    """What other seeds would give on this very test set: Student's t over the seeds.

    It says nothing of other data: on a small test set it often misses the difference on new data.

    Args:
        ours, theirs: (seeds,) or (seeds, items), the same seeds and items in both.

    Raises:
        DataError: the two cannot be paired, hold a value that is not finite, or have fewer than two seeds.
        SettingsError: the level does not lie between 0 and 1.

    >>> print(on_test_set([0.90, 0.91, 0.92], [0.80, 0.82, 0.81]))
    +10.0 points [+7.5, +12.5], 95 %, on this test set (Student's t over 3 seeds)
    """
    differences = by_seed(ours, theirs)
    seeds, items = len(differences), _items(ours)
    error = float(differences.std(ddof=1)) / seeds**0.5
    return _student(
        differences.mean(), error, seeds - 1, checked_level(level), ("on this test set", "Student's t", seeds, items)
    )


def on_new_data(ours: ArrayLike, theirs: ArrayLike, *, level: float = 0.95) -> Interval:
    """What other seeds would give on other test items from the same source: the interval that may name a winner.

    Student's t with the variance of a mean over crossed seeds and items, from the mean squares of both
    (`Spread`), and Satterthwaite's degrees of freedom. docs/statistics.md has its coverage beside the bootstrap's.
    Where the answers are right or wrong and no answer differs, the interval reaches as far as the share of new items on
    which they could differ and still not have done so here.

    Args:
        ours, theirs: (seeds, items), the same seeds and items in both.

    Raises:
        DataError: as `on_test_set`, or the scores are not by item, or of one item.
        SettingsError: the level does not lie between 0 and 1.
    """
    differences = by_item(ours, theirs)
    seeds, items = differences.shape
    if not differences.any() and np.isin(ours, (0, 1)).all():
        reach = 1 - (1 - checked_level(level)) ** (1 / items)
        return Interval(-reach, reach, 0.0, level, "on new data", "no answer differs", seeds, items, 1.0)
    spread = Spread.of(differences)
    about: _About = ("on new data", "crossed t", seeds, items)
    return _student(differences.mean(), spread.variance**0.5, spread.freedom, checked_level(level), about)


def on_new_draws(ours: ArrayLike, theirs: ArrayLike, *, train: int, test: int, level: float = 0.95) -> Interval:
    """What training and test data drawn anew would give, where every seed split one set of data again.

    The corrected resampled t of Nadeau and Bengio (2003): the seeds share data, so the variance over them is multiplied
    by 1/J + test/train instead of 1/J, J the seeds. It is a heuristic, not an unbiased estimate.

    Args:
        ours, theirs: (seeds,) or (seeds, items), the same draws in both; a seed's items are its own.
        train, test: how many examples every seed drew to train on, and to be tested on.

    Raises:
        DataError: as `on_test_set`.
        SettingsError: a number of examples is not positive, or the level does not lie between 0 and 1.
    """
    if train < 1 or test < 1:
        raise SettingsError(
            f"train is {train} and test is {test}",
            why="they are the numbers of examples that every seed drew",
            fix="give both as they were drawn",
        )
    differences = by_seed(ours, theirs)
    seeds = len(differences)
    error = float(differences.std(ddof=1)) * (1 / seeds + test / train) ** 0.5
    about: _About = ("on new draws", "corrected resampled t", seeds, None)
    return _student(differences.mean(), error, seeds - 1, checked_level(level), about)


_About = tuple[Question, str, int, int | None]


def _items(scores: ArrayLike) -> int | None:
    shape = np.shape(scores)
    return shape[1] if len(shape) > 1 else None


def _student(estimate: float, error: float, freedom: float, level: float, about: _About) -> Interval:
    estimate = float(estimate)
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(estimate) / error)) if error else float(estimate == 0)
    return Interval(estimate - reach, estimate + reach, estimate, level, *about, p)

"""The two-way bootstrap of a paired difference: seeds and test items are drawn again, independently of one another."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from tether.errors import SettingsError
from tether.study.intervals import Interval
from tether.study.pairs import by_item, checked_level

BLOCK = 100


def two_way_bootstrap(
    ours: ArrayLike, theirs: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """The percentile interval on new data, of means whose seeds and items are each drawn with replacement.

    It is the pigeonhole bootstrap (Owen, 2007) of a full table. With few seeds that differ much it is too narrow, and
    with seeds and items that interact too wide (docs/statistics.md), so that `on_new_data` names winners instead.

    Args:
        ours, theirs: (seeds, items), the same seeds and items in both.

    Raises:
        DataError: as `on_new_data`.
        SettingsError: the level does not lie between 0 and 1, or there are fewer than 100 resamples.

    >>> ours, theirs = np.random.default_rng(0).random((2, 5, 400)) < [[[0.8]], [[0.6]]]
    >>> two_way_bootstrap(ours, theirs).beyond_noise
    True
    """
    if resamples < 100:
        raise SettingsError(
            f"there are {resamples} resamples",
            why="the ends of an interval are the outermost few of them",
            fix="give 2000",
        )
    differences = by_item(ours, theirs)
    tail = (1 - checked_level(level)) / 2
    means = np.concatenate(list(_means(differences, resamples, np.random.default_rng(seed))))
    low, high = np.quantile(means, (tail, 1 - tail))
    extreme = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Interval(
        low=float(low),
        high=float(high),
        estimate=float(differences.mean()),
        level=level,
        question="on new data",
        method="two-way bootstrap",
        seeds=differences.shape[0],
        items=differences.shape[1],
        p=min(1.0, 2 * (extreme + 1) / (resamples + 1)),
    )


def _means(
    differences: Float[np.ndarray, "seeds items"], resamples: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, " block"]]:
    """The means of the resamples, a block at a time, so that the memory does not grow with their number."""
    seeds, items = differences.shape
    for start in range(0, resamples, BLOCK):
        count = min(BLOCK, resamples - start)
        drawn_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), count) / seeds
        drawn_items = rng.multinomial(items, np.full(items, 1 / items), count) / items
        yield ((drawn_seeds @ differences) * drawn_items).sum(1)

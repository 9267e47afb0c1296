"""Pairs: the scores of two methods on the same seeds and the same test items, and what cannot be compared."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from tether.errors import DataError, SettingsError


def by_seed(ours: ArrayLike, theirs: ArrayLike) -> Float[np.ndarray, " seeds"]:
    """What ours is above theirs for every seed, the mean over the test items where there are any.

    Raises:
        DataError: the two do not fit each other, hold a value that is not finite, or have fewer than two seeds.
    """
    differences = _differences(ours, theirs)
    return differences if differences.ndim == 1 else differences.mean(1)


def by_item(ours: ArrayLike, theirs: ArrayLike) -> Float[np.ndarray, "seeds items"]:
    """What ours is above theirs for every seed and test item.

    Raises:
        DataError: as `by_seed`, or the scores are not by item, or of one item.
    """
    differences = _differences(ours, theirs)
    if differences.ndim == 1:
        raise DataError(
            f"the scores of {len(differences)} seeds are not told by test item",
            why="how far new data may differ shows only in how far the test items differ",
            fix="give (seeds, items): whether each item was right, for each seed; or ask on this test set",
        )
    if differences.shape[1] < 2:
        raise DataError(
            f"there is {differences.shape[1] or 'no'} test item",
            why="how far new data may differ shows only in how far test items differ, and that takes two",
            fix="score more test items",
        )
    return differences


def checked_level(level: float) -> float:
    """The level of an interval.

    Raises:
        SettingsError: it does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise SettingsError(
            f"the level of an interval is {level!r}",
            why="it is the share of intervals that hold the truth, between 0 and 1",
            fix="give 0.95",
        )
    return level


def _differences(ours: ArrayLike, theirs: ArrayLike) -> Float[np.ndarray, " seeds *items"]:
    first, second = _numbers(ours, "ours"), _numbers(theirs, "theirs")
    if first.shape != second.shape:
        raise DataError(
            f"the scores of ours are {_shape(first)}, those of theirs {_shape(second)}",
            why="a difference is paired: the same seeds, and the same test items in the same order, in both",
            fix="leave out what only one of them has",
        )
    if len(first) < 2:
        raise DataError(
            f"there is {len(first) or 'no'} seed",
            why="how far seeds differ shows in two or more, so that there is no interval over seeds",
            fix="train more seeds; ten tell most",
        )
    differences: Float[np.ndarray, " seeds *items"] = first - second
    return differences


def _numbers(scores: ArrayLike, name: str) -> Float[np.ndarray, " seeds *items"]:
    found: np.ndarray[Any, Any] = _array(scores, name)
    if found.dtype.kind not in "buif" or found.ndim not in {1, 2}:
        raise DataError(
            f"the scores of {name} are {found.dtype} of {found.ndim} dimensions",
            why="they are numbers or true and false, by seed or by seed and test item",
            fix="give an array of the shape (seeds,) or (seeds, items)",
        )
    numbers = found.astype(np.float64)
    if len(bad := np.argwhere(~np.isfinite(numbers))):
        where = " and ".join(f"{axis} {place}" for axis, place in zip(("seed", "item"), bad[0], strict=False))
        raise DataError(
            f"the score of {name} for {where} is {numbers[tuple(bad[0])]}",
            why=f"{len(bad)} of {numbers.size} scores are not finite, and a mean over the others would be another's",
            fix="leave out that seed in both methods, or score it again",
        )
    return numbers


def _array(scores: ArrayLike, name: str) -> np.ndarray[Any, Any]:
    try:
        found: np.ndarray[Any, Any] = np.asarray(scores)
    except (TypeError, ValueError):  # rows of several lengths
        raise DataError(
            f"the scores of {name} are no array",
            why="every seed is scored on the same test items",
            fix="give an array of the shape (seeds,) or (seeds, items)",
        ) from None
    return found


def _shape(scores: np.ndarray[Any, Any]) -> str:
    names = ("seeds", "items")
    return " × ".join(f"{size:,} {name}" for size, name in zip(scores.shape, names, strict=False))

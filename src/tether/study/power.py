"""Power: how many seeds or test items it takes to see a difference on new data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit
from scipy.stats import nct, norm

from tether.errors import SettingsError
from tether.study.pairs import checked_level
from tether.study.spread import Spread

MOST = 1_000_000


@dataclass(frozen=True)
class Needed:
    """How many seeds or items it takes, the other number given.

    Args:
        seeds, items: None where no number of them is enough.
        pilot: the spread that is assumed to stay as it is.
    """

    of: Literal["seeds", "items"]
    seeds: int | None
    items: int | None
    difference: float
    power: float
    level: float
    pilot: Spread

    def __str__(self) -> str:
        asked = (
            f"{100 * abs(self.difference):.3g} points on new data with power {self.power:g} at {100 * self.level:.4g} %"
        )
        assumed = f"if the spread is that of the {self.pilot.seeds} seeds and {self.pilot.items:,} items measured"
        if self.seeds is not None and self.items is not None:
            return f"{self.seeds:,} seeds and {self.items:,} items show {asked}, {assumed}"
        held = f"{self.items:,} items" if self.of == "seeds" else f"{self.seeds:,} seeds"
        return f"no number of {self.of} with {held} shows {asked}, {assumed}: more {_OTHER[self.of]} are needed"


_OTHER = {"seeds": "items", "items": "seeds"}


def seeds_needed(pilot: Spread, difference: float, *, items: int, power: float = 0.8, level: float = 0.95) -> Needed:
    """How many seeds show a true difference on a given number of test items.

    Raises:
        SettingsError: a number is out of range.
    """
    _check(difference, items, power, level)
    enough = _smallest(lambda seeds: power_of(pilot.at(seeds, items), difference, level=level) >= power)
    return Needed("seeds", enough, items, difference, power, level, pilot)


def items_needed(pilot: Spread, difference: float, *, seeds: int, power: float = 0.8, level: float = 0.95) -> Needed:
    """How many test items show a true difference with a given number of seeds.

    Raises:
        SettingsError: a number is out of range.
    """
    _check(difference, seeds, power, level)
    enough = _smallest(lambda items: power_of(pilot.at(seeds, items), difference, level=level) >= power)
    return Needed("items", seeds, enough, difference, power, level, pilot)


def power_of(spread: Spread, difference: float, *, level: float = 0.95) -> float:
    """The probability that `on_new_data` leaves zero out on the true difference's side: the noncentral t's tail."""
    if spread.variance == 0:
        return 1.0
    away, freedom = abs(difference) / spread.variance**0.5, spread.freedom
    critical = float(stdtrit(freedom, (1 + checked_level(level)) / 2))
    if freedom > 1e5:  # where SciPy's noncentral t runs out of precision, and is the normal
        return float(norm.sf(critical - away))
    return float(nct.sf(critical, freedom, away))


def _smallest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number from two that is enough.

    Power need not grow for ever: with few seeds, more items take degrees of freedom away. It is followed in steps of a
    tenth up to the first number that is enough, and searched below that.
    """
    low, high = 1, 2
    while not enough(high):
        if high >= MOST:
            return None
        low, high = high, min(max(high + 1, high * 11 // 10), MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check(difference: float, count: int, power: float, level: float) -> None:
    checked_level(level)
    if not abs(difference) > 0 or abs(difference) == float("inf") or count < 2 or not 0 < power < 1:
        raise SettingsError(
            f"the difference is {difference}, the number {count} and the power {power}",
            why="a difference is finite and not zero, seeds and items are two or more, and power lies between 0 and 1",
            fix="give for example 0.02, 200 and 0.8",
        )

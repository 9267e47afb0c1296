import numpy as np
import pytest
from scipy.stats import ttest_1samp

from tether.errors import SettingsError
from tether.study.intervals import on_new_data
from tether.study.power import items_needed, power_of, seeds_needed
from tether.study.spread import Spread

# of the seed .02², of the item .2², of the rest .3²
PILOT = Spread(seed=200 * 0.02**2 + 0.09, item=10 * 0.2**2 + 0.09, rest=0.09, seeds=10, items=200)


def test_it_is_what_the_interval_does() -> None:
    rng, theirs = np.random.default_rng(0), np.zeros((8, 100))
    tables = (
        0.07 + rng.normal(0, 0.02, (8, 1)) + rng.normal(0, 0.2, 100) + rng.normal(0, 0.3, (8, 100)) for _ in range(2000)
    )
    seen = np.mean([on_new_data(found, theirs).low > 0 for found in tables])
    assert power_of(PILOT.at(8, 100), 0.07) == pytest.approx(seen, abs=0.03)  # the simulation's own error is .01


@pytest.mark.parametrize("difference", [0.03, -0.05, 0.2])
def test_the_number_is_the_smallest(difference: float) -> None:
    seeds = seeds_needed(PILOT, difference, items=400).seeds
    assert power_of(PILOT.at(seeds, 400), difference) >= 0.8
    assert seeds == 2 or power_of(PILOT.at(seeds - 1, 400), difference) < 0.8
    items = items_needed(PILOT, difference, seeds=12).items
    assert power_of(PILOT.at(12, items), difference) >= 0.8
    assert items == 2 or power_of(PILOT.at(12, items - 1), difference) < 0.8


def test_more_of_one_does_not_make_up_for_too_few_of_the_other() -> None:
    # 200 items alone leave an error of .2/√200 = .014
    assert seeds_needed(PILOT, 0.03, items=200).seeds is None
    assert "no number of seeds with 200 items shows 3 points" in str(seeds_needed(PILOT, 0.03, items=200))
    assert items_needed(PILOT, 0.01, seeds=3).items is None
    assert str(items_needed(PILOT, 0.01, seeds=3)).endswith("more seeds are needed")


def test_a_power_that_rises_and_falls_again_is_found() -> None:
    # with three seeds .98 is reached at 1,000 items, and neither at 200 nor at 2,000
    assert max(power_of(PILOT.at(3, 200), 0.09), power_of(PILOT.at(3, 2000), 0.09)) < 0.98
    items = items_needed(PILOT, 0.09, seeds=3, power=0.98).items
    assert power_of(PILOT.at(3, items), 0.09) >= 0.98 > power_of(PILOT.at(3, items - 1), 0.09)


def test_the_assumption_is_said() -> None:
    said = str(seeds_needed(PILOT, 0.05, items=200))
    assert said.startswith(
        f"{seeds_needed(PILOT, 0.05, items=200).seeds} seeds and 200 items show 5 points on new data"
    )
    assert "with power 0.8 at 95 %, if the spread is that of the 10 seeds and 200 items measured" in said


def test_power_is_a_probability_that_grows_with_enough_seeds() -> None:
    counts = (2, 5, 20, 100, 1000, 10**5, 10**6)
    assert all(0 < power_of(PILOT.at(seeds, items), 0.05) <= 1 for seeds in (2, 3, 10, 100) for items in counts)
    powers = [power_of(PILOT.at(10, items), 0.05) for items in counts]
    assert powers == sorted(powers)
    large = [power_of(PILOT.at(10, 200), difference) for difference in (0.1, 1, 10, 1000)]
    assert large == sorted(large) and large[-1] == 1


def test_the_normal_takes_over_without_a_step() -> None:
    below, above = (Spread(0.0, 0.09, 0.0, 2, items) for items in (99_000, 101_000))
    difference = 2.8 * below.variance**0.5
    assert power_of(below, difference) == pytest.approx(power_of(above, 2.8 * above.variance**0.5), abs=1e-4)


def test_of_one_way_it_is_that_of_a_t_test() -> None:
    drawn = np.random.default_rng(0).normal(0.9, 1, (200_000, 12))
    seen = np.mean(ttest_1samp(drawn, 0, axis=1).statistic > 2.201)  # t.ppf(.975, 11)
    assert power_of(Spread(0.0, 2.0, 0.0, 2, 12), 0.9) == pytest.approx(seen, abs=0.004)  # its own error is .001


def test_where_nothing_varies_everything_is_seen() -> None:
    assert power_of(Spread(0.0, 0.0, 0.0, 2, 2), 0.01) == 1


@pytest.mark.parametrize(
    ("difference", "count", "power", "level"),
    [
        (0, 10, 0.8, 0.95),
        (float("nan"), 10, 0.8, 0.95),
        (float("inf"), 10, 0.8, 0.95),
        (0.1, 1, 0.8, 0.95),
        (0.1, 10, 0, 0.95),
        (0.1, 10, 1, 0.95),
        (0.1, 10, 0.8, 95),
    ],
)
def test_what_is_out_of_range_is_refused(difference: float, count: int, power: float, level: float) -> None:
    with pytest.raises(SettingsError):
        seeds_needed(PILOT, difference, items=count, power=power, level=level)
    with pytest.raises(SettingsError):
        items_needed(PILOT, difference, seeds=count, power=power, level=level)

import numpy as np
import pytest

from tether.study.spread import Spread


def table(seeds: int = 6, items: int = 9) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(seeds, items))


def test_the_squares_are_those_of_the_two_way_analysis_of_variance() -> None:
    from scipy.stats import f_oneway

    # Without replication: the sum over cells splits into seeds, items and the rest; F of one factor alone follows.
    found = table()
    spread = Spread.of(found)
    seeds, items = found.shape
    total = ((found - found.mean()) ** 2).sum()
    parts = spread.seed * (seeds - 1) + spread.item * (items - 1) + spread.rest * (seeds - 1) * (items - 1)
    assert parts == pytest.approx(total)
    within = (total - spread.seed * (seeds - 1)) / (seeds * (items - 1))
    assert spread.seed / within == pytest.approx(f_oneway(*found).statistic)
    within = (total - spread.item * (items - 1)) / (items * (seeds - 1))
    assert spread.item / within == pytest.approx(f_oneway(*found.T).statistic)


def test_the_variance_is_that_of_means_over_new_seeds_and_items() -> None:
    rng = np.random.default_rng(0)
    seeds, items = 8, 40
    tables = [
        rng.normal(0, 0.5, (seeds, 1)) + rng.normal(0, 1, (1, items)) + rng.normal(0, 1, (seeds, items))
        for _ in range(2000)
    ]
    true = 0.5**2 / seeds + 1 / items + 1 / (seeds * items)
    assert np.var([found.mean() for found in tables]) == pytest.approx(true, rel=0.1)  # its error is 3 %
    assert np.mean([Spread.of(found).variance for found in tables]) == pytest.approx(true, rel=0.05)


def test_the_variance_is_never_below_one_ways() -> None:
    spread = Spread(seed=0.1, item=2.0, rest=1.0, seeds=5, items=10)
    assert spread.variance == pytest.approx(2.0 / 50)
    assert Spread(2.0, 0.1, 1.0, 5, 10).variance == pytest.approx(2.0 / 50)


@pytest.mark.parametrize(
    ("spread", "freedom"),
    [
        (Spread(1.0, 0.0, 0.0, 5, 10), 4),
        (Spread(0.0, 1.0, 0.0, 5, 10), 9),
        (Spread(1.0, 1.0, 0.0, 5, 10), 4 / (1 / 4 + 1 / 9)),
        (Spread(2.0, 3.0, 1.0, 5, 10), 16 / (4 / 4 + 9 / 9 + 1 / 36)),
        (Spread(0.0, 0.0, 0.0, 5, 10), float("inf")),
    ],
)
def test_freedom_is_satterthwaites(spread: Spread, freedom: float) -> None:
    assert spread.freedom == pytest.approx(freedom)


def test_other_numbers_keep_the_variances() -> None:
    pilot = Spread(seed=5.0, item=3.0, rest=1.0, seeds=4, items=8)  # of the seed 1/2, of the item 1/2, of the rest 1
    assert pilot.at(4, 8) == pilot
    assert pilot.at(10, 100).variance == pytest.approx(0.5 / 10 + 0.5 / 100 + 1 / 1000)


def test_a_variance_is_not_negative() -> None:
    assert Spread(0.5, 0.5, 1.0, 4, 8).at(10, 100) == Spread(1.0, 1.0, 1.0, 10, 100)

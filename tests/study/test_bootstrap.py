import numpy as np
import pytest

from tether.errors import DataError, SettingsError
from tether.study import bootstrap
from tether.study.bootstrap import two_way_bootstrap

OURS, THEIRS = np.random.default_rng(3).random((2, 6, 50)) < np.array([0.8, 0.7])[:, None, None]


def test_it_draws_seeds_and_items_apart() -> None:
    # The variance of a resampled mean is known: of row means over S, column means over I, and the rest over S·I.
    differences = OURS.astype(float) - THEIRS
    rows, columns = differences.mean(1), differences.mean(0)
    rest = differences - rows[:, None] - columns + differences.mean()
    variance = rows.var() / 6 + columns.var() / 50 + (rest**2).mean() / 300
    means = np.concatenate(list(bootstrap._means(differences, 40_000, np.random.default_rng(0))))
    assert means.mean() == pytest.approx(differences.mean(), abs=0.001)
    assert means.var() == pytest.approx(variance, rel=0.03)  # its own error is .7 %
    found = two_way_bootstrap(OURS, THEIRS, resamples=10_000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.05)


def test_it_is_repeatable() -> None:
    assert two_way_bootstrap(OURS, THEIRS) == two_way_bootstrap(OURS, THEIRS)
    assert two_way_bootstrap(OURS, THEIRS, seed=1) != two_way_bootstrap(OURS, THEIRS)


def test_the_last_block_may_be_short() -> None:
    differences = OURS.astype(float) - THEIRS
    sizes = [len(block) for block in bootstrap._means(differences, 250, np.random.default_rng(0))]
    assert sizes == [100, 100, 50]


def test_p_is_small_where_every_resample_lies_on_one_side() -> None:
    found = two_way_bootstrap(np.ones((4, 30)), np.zeros((4, 30)), resamples=199)
    assert (found.low, found.high, found.p) == pytest.approx((1, 1, 2 / 200))
    assert two_way_bootstrap(OURS, OURS).p == 1


def test_it_refuses_too_few_resamples_and_scores_by_seed() -> None:
    with pytest.raises(SettingsError, match="10 resamples"):
        two_way_bootstrap(OURS, THEIRS, resamples=10)
    with pytest.raises(DataError, match="test item"):
        two_way_bootstrap([0.5, 0.6], [0.5, 0.7])

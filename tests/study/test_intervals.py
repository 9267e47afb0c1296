import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from tether.errors import DataError, SettingsError
from tether.study.intervals import Interval, on_new_data, on_new_draws, on_test_set

OURS, THEIRS = np.random.default_rng(3).random((2, 6, 50)) < np.array([0.8, 0.7])[:, None, None]


def covered(found: list[Interval], truth: float) -> float:
    return 100 * float(np.mean([interval.low <= truth <= interval.high for interval in found]))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_over_seeds_it_is_scipys_paired_t(level: float) -> None:
    ours, theirs = np.random.default_rng(0).normal(0.7, 0.02, (2, 7))
    oracle = ttest_rel(ours, theirs)
    found = on_test_set(ours, theirs, level=level)
    assert (found.low, found.high) == pytest.approx(tuple(oracle.confidence_interval(level)))
    assert (found.estimate, found.p) == pytest.approx(((ours - theirs).mean(), oracle.pvalue))


def test_items_of_one_test_set_are_averaged() -> None:
    found = on_test_set(OURS, THEIRS)
    alone = on_test_set(OURS.mean(1), THEIRS.mean(1))
    assert (found.low, found.high, found.items) == (pytest.approx(alone.low), pytest.approx(alone.high), 50)


def test_where_only_items_differ_new_data_is_a_t_over_items() -> None:
    theirs = np.zeros((4, 30))
    ours = theirs + np.random.default_rng(0).normal(0.1, 0.3, 30)
    oracle = ttest_1samp(ours[0], 0)
    found = on_new_data(ours, theirs)
    assert (found.low, found.high) == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    assert found.p == pytest.approx(oracle.pvalue)


def test_where_only_seeds_differ_new_data_is_a_t_over_seeds() -> None:
    theirs = np.zeros((5, 30))
    ours = theirs + np.random.default_rng(0).normal(0.1, 0.3, (5, 1))
    found, alone = on_new_data(ours, theirs), on_test_set(ours, theirs)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_draws_that_share_data_are_corrected() -> None:
    ours, theirs = np.random.default_rng(0).normal(0.7, 0.02, (2, 10))
    plain, corrected = on_test_set(ours, theirs), on_new_draws(ours, theirs, train=90, test=10)
    ratio = (corrected.high - corrected.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(((1 / 10 + 10 / 90) / (1 / 10)) ** 0.5)  # Nadeau and Bengio 2003
    assert corrected.question == "on new draws"


@pytest.mark.parametrize("numbers", [{"train": 0, "test": 10}, {"train": 10, "test": -1}])
def test_draws_have_examples(numbers: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="train is"):
        on_new_draws([0.5, 0.6], [0.5, 0.7], **numbers)


@pytest.mark.parametrize("ask", [on_test_set, on_new_data])
def test_turned_round_it_is_the_negative(ask: object) -> None:
    there, back = ask(OURS, THEIRS), ask(THEIRS, OURS)
    assert (there.low, there.high, there.p) == pytest.approx((-back.high, -back.low, back.p))


@pytest.mark.parametrize("ask", [on_test_set, on_new_data])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_zero_is_left_out_where_p_is_below_the_levels_rest(ask: object, level: float) -> None:
    for gap in np.linspace(-0.3, 0.3, 13):
        found = ask(THEIRS + gap, OURS, level=level)
        assert found.beyond_noise == (found.p < 1 - level)
        assert found.low < found.estimate < found.high


def test_the_order_of_seeds_and_items_is_nothing() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(6)[:, None], rng.permutation(50)
    found, again = on_new_data(OURS, THEIRS), on_new_data(OURS[rows, columns], THEIRS[rows, columns])
    assert (found.low, found.high) == pytest.approx((again.low, again.high))


def test_where_no_answer_differs_new_ones_may() -> None:
    found = on_new_data(OURS, OURS)
    assert found.high == -found.low == pytest.approx(1 - 0.05 ** (1 / 50))  # 50 items alike have probability .05
    assert not found.beyond_noise
    assert "no answer differs" in str(found)


def test_scores_without_bounds_that_do_not_differ_have_no_width() -> None:
    scores = np.random.default_rng(0).random((3, 20))
    assert (on_new_data(scores, scores).low, on_new_data(scores, scores).high) == (0, 0)
    same = on_test_set([0.5, 0.5], [0.5, 0.5])
    assert (same.low, same.high, same.p, same.beyond_noise) == (0, 0, 1, False)


def test_an_interval_is_a_line() -> None:
    assert str(on_test_set(OURS, THEIRS)).endswith("95 %, on this test set (Student's t over 6 seeds and 50 items)")
    assert str(on_new_data(OURS, THEIRS, level=0.99)).endswith(
        "99 %, on new data (crossed t over 6 seeds and 50 items)"
    )
    assert str(on_test_set([0.5, 0.4], [0.4, 0.5])).startswith("+0.0 points [−127.1, +127.1], 95 %")
    assert on_test_set([0.5001, 0.5002], [0.5, 0.5]).points == "+0.01 points [−0.05, +0.08]"


def test_new_data_is_not_asked_of_scores_by_seed() -> None:
    with pytest.raises(DataError, match="test item"):
        on_new_data([0.5, 0.6], [0.5, 0.7])


def test_t_holds_95_of_100_at_ten_seeds() -> None:
    rng = np.random.default_rng(0)
    normal = [on_test_set(row + 0.02, np.zeros(10)) for row in rng.normal(0, 0.03, (4000, 10))]
    assert abs(covered(normal, 0.02) - 95) < 1.5  # the simulation's own error is .35
    chance = rng.uniform(0.3, 1, (2, 200))  # of every item to be right, on one fixed test set
    answers = (rng.random((10, 200)) < chance[:, None] for _ in range(4000))
    assert abs(covered([on_test_set(*pair) for pair in answers], float((chance[0] - chance[1]).mean())) - 95) < 1.5


@pytest.mark.parametrize(("seed_sd", "item_sd"), [(0.04, 0.1), (0.02, 0.3)])
def test_new_data_is_held_where_the_seeds_alone_do_not(seed_sd: float, item_sd: float) -> None:
    rng = np.random.default_rng(0)
    theirs = np.zeros((10, 200))
    tables = [
        0.02 + rng.normal(0, seed_sd, (10, 1)) + rng.normal(0, item_sd, 200) + rng.normal(0, 0.2, (10, 200))
        for _ in range(2000)
    ]
    assert abs(covered([on_new_data(found, theirs) for found in tables], 0.02) - 95) < 1.5
    assert covered([on_test_set(found, theirs) for found in tables], 0.02) < 94


def test_torch_is_not_loaded() -> None:
    script = (
        "import sys, tether.study.intervals, tether.study.bootstrap, tether.study.multiple, tether.study.power\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

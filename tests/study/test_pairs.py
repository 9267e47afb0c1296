import numpy as np
import pytest

from tether.errors import DataError, SettingsError
from tether.study.pairs import by_item, by_seed, checked_level

RIGHT = np.array([[True, False, True], [True, True, True]])
WRONG = np.array([[False, False, True], [True, False, False]])


def test_true_and_false_are_numbers() -> None:
    np.testing.assert_array_equal(by_item(RIGHT, WRONG), [[1, 0, 0], [0, 1, 1]])
    np.testing.assert_allclose(by_seed(RIGHT, WRONG), [1 / 3, 2 / 3])


def test_scores_by_seed_are_paired_as_they_stand() -> None:
    np.testing.assert_allclose(by_seed([0.9, 0.8], [0.5, 0.7]), [0.4, 0.1])


def test_unsigned_numbers_do_not_wrap() -> None:
    assert by_seed(np.array([0, 1], np.uint8), np.array([1, 0], np.uint8)).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        (RIGHT, WRONG[:, :2], "2 seeds × 3 items, those of theirs 2 seeds × 2 items"),
        (RIGHT, [0.5, 0.6], "2 seeds × 3 items, those of theirs 2 seeds"),
        ([0.5, 0.6, 0.7], [0.5, 0.6], "3 seeds, those of theirs 2 seeds"),
        (RIGHT[:1], WRONG[:1], "there is 1 seed"),
        (RIGHT[:0], WRONG[:0], "there is no seed"),
        ([0.5, np.nan], [0.5, 0.6], "of ours for seed 1 is nan"),
        (RIGHT, np.array([[0, 1, 0], [0, np.inf, 0]]), "of theirs for seed 1 and item 1 is inf"),
        ([[1, 0], [1]], [0.5, 0.6], "of ours are no array"),
        (["a", "b"], [0.5, 0.6], "of ours are <U1"),
        ([0.5, 0.6], [0.5j, 0.6], "of theirs are complex128"),
        (0.5, 0.6, "of 0 dimensions"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), "of 3 dimensions"),
        ([None, 0.5], [0.5, 0.6], "of ours are object"),
    ],
)
def test_what_cannot_be_paired_is_refused(ours: object, theirs: object, says: str) -> None:
    for pair in (by_seed, by_item):
        with pytest.raises(DataError) as refusal:
            pair(ours, theirs)
        assert says in refusal.value.what
        assert refusal.value.why and refusal.value.fix


def test_one_seed_has_no_interval_over_seeds() -> None:
    with pytest.raises(DataError) as refusal:
        by_seed([0.5], [0.6])
    assert "there is no interval over seeds" in refusal.value.why


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (np.zeros(3), "not told by test item"),
        (np.zeros((3, 1)), "there is 1 test item"),
        (np.zeros((3, 0)), "no test item"),
    ],
)
def test_new_data_takes_several_items(scores: np.ndarray, says: str) -> None:
    with pytest.raises(DataError) as refusal:
        by_item(scores, scores)
    assert says in refusal.value.what


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, float("nan")])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(SettingsError, match="level"):
        checked_level(level)

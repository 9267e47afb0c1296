import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from tether.answers import Answers
from tether.scores import Scores, auroc, ece


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits.astype(np.float64))
    return shares / shares.sum(1, keepdims=True)


def drawn(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(0, 2, (count, classes)).astype(np.float32), generator.integers(0, classes, count)


def test_scores_are_scikit_learns() -> None:
    logits, truth = drawn(200, 4)
    found, guess = Scores.of(Answers.of(logits, truth)), logits.argmax(1)
    assert found.accuracy == (truth == guess).mean()
    assert found.balanced == pytest.approx(balanced_accuracy_score(truth, guess))
    assert found.f1 == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found.nll == pytest.approx(log_loss(truth, softmax(logits)))
    assert found.brier == pytest.approx(((softmax(logits) - np.eye(4)[truth]) ** 2).sum(1).mean())
    assert found.auroc is None
    assert found.count == 200


def test_the_brier_score_of_two_classes_is_twice_scikit_learns() -> None:
    logits, truth = drawn(50, 2)
    assert Scores.of(Answers.of(logits, truth)).brier == pytest.approx(
        2 * brier_score_loss(truth, softmax(logits)[:, 1])
    )


def test_the_interval_is_wilsons() -> None:
    logits = np.zeros((50, 2))
    logits[:8, 1] = 1.0
    found = Scores.of(Answers.of(logits, np.zeros(50, np.int64)))
    n, p, z = 50, 42 / 50, 1.959964  # Wilson, 1927
    middle, reach = (p + z**2 / (2 * n)), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found.low == pytest.approx((middle - reach) / (1 + z**2 / n), abs=1e-6)
    assert found.high == pytest.approx((middle + reach) / (1 + z**2 / n), abs=1e-6)


def test_a_class_without_test_pictures_does_not_lower_the_balanced_accuracy() -> None:
    assert Scores.of(Answers.of(np.eye(3)[[0, 0, 1]], np.array([0, 0, 1]))).balanced == 1.0


def by_bins(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Guo et al., 2017, bin by bin."""
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize(("count", "classes"), [(7, 2), (300, 2), (300, 10), (1000, 30)])
def test_the_calibration_error_is_that_of_fifteen_bins(count: int, classes: int) -> None:
    logits, truth = drawn(count, classes)
    answers = Answers.of(logits, truth)
    expected = by_bins(softmax(logits).max(1), logits.argmax(1) == truth, 15)
    assert Scores.of(answers).ece == pytest.approx(expected)
    assert ece(answers, 4) == pytest.approx(by_bins(softmax(logits).max(1), logits.argmax(1) == truth, 4))


def said(confidence: list[float], right: list[bool]) -> Answers:
    """Answers of two classes whose guess is the first."""
    sure, truth = np.array(confidence), 1 - np.array(right, dtype=np.int64)
    return Answers(truth, np.zeros_like(truth), np.where(truth == 0, sure, 1 - sure), sure, np.zeros(len(sure)), 2)


def test_a_bin_is_open_below_and_closed_above() -> None:
    assert ece(said([0.75, 0.75, 0.76, 1.0], [True, False, True, True]), 4) == pytest.approx(
        0.5 * abs(0.5 - 0.75) + 0.5 * abs(1 - 0.88)
    )


def test_who_is_as_right_as_sure_is_calibrated() -> None:
    assert ece(said([0.75] * 4, [True, True, True, False])) == 0
    assert ece(said([1.0] * 4, [True] * 4)) == 0
    assert ece(said([1.0] * 4, [False] * 4)) == 1


values = st.integers(-6, 6).map(lambda value: value / 2)


@given(st.lists(st.tuples(values, values, st.integers(0, 1)), min_size=2, max_size=40))
def test_the_area_is_scikit_learns_ties_half(rows: list[tuple[float, float, int]]) -> None:
    logits, truth = np.array([row[:2] for row in rows], dtype=np.float32), np.array([row[2] for row in rows])
    found = auroc(Answers.of(logits, truth))
    if len(set(truth)) < 2:
        assert found is None
    else:
        # by the difference of the logits, in which equal probabilities are equal to the last bit
        assert found == pytest.approx(roc_auc_score(truth, logits[:, 1] - logits[:, 0]))


def test_equal_outputs_tie_whatever_the_truth_is() -> None:
    logits = np.tile(np.float32([0.3, -1.9]), (6, 1))
    assert auroc(Answers.of(logits, np.array([0, 1, 0, 1, 1, 1]))) == 0.5


def test_the_screen_says_the_area_only_of_two_classes() -> None:
    two, three = (Scores.of(Answers.of(*drawn(30, classes))) for classes in (2, 3))
    assert str(two).endswith(f"Brier {two.brier:.3f} · ECE {two.ece:.3f} · AUROC {two.auroc:.3f}")
    assert "AUROC" not in str(three)
    assert len(str(two)) < 120

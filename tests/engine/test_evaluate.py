import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss
from torch import nn

from tether.engine.evaluate import Scores, logits_of, score
from tether.errors import Diverged


def test_scores_are_scikit_learns() -> None:
    logits, labels = torch.randn(200, 4), torch.randint(4, (200,))
    found = Scores.of(logits, labels)
    truth, guess = labels.numpy(), logits.argmax(1).numpy()
    assert found.accuracy == (truth == guess).mean()
    assert found.balanced == pytest.approx(balanced_accuracy_score(truth, guess))
    assert found.f1 == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found.nll == pytest.approx(log_loss(truth, logits.double().softmax(1).numpy()))
    assert found.count == 200


def test_the_interval_is_wilsons() -> None:
    labels = torch.zeros(50, dtype=torch.int64)
    logits = torch.zeros(50, 2)
    logits[:8, 1] = 1.0
    found = Scores.of(logits, labels)
    n, p, z = 50, 42 / 50, 1.959964  # Wilson, 1927
    middle, reach = (p + z**2 / (2 * n)), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found.low == pytest.approx((middle - reach) / (1 + z**2 / n), abs=1e-6)
    assert found.high == pytest.approx((middle + reach) / (1 + z**2 / n), abs=1e-6)


def test_a_class_without_test_pictures_does_not_lower_the_balanced_accuracy() -> None:
    assert Scores.of(torch.eye(3)[[0, 0, 1]], torch.tensor([0, 0, 1])).balanced == 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_not_finite_are_no_score(value: float) -> None:
    logits = torch.zeros(3, 2)
    logits[1, 0] = value
    with pytest.raises(Diverged, match="not finite on 1 of 3 pictures"):
        Scores.of(logits, torch.tensor([0, 1, 0]))


def test_the_largest_finite_outputs_have_a_finite_score() -> None:
    huge = torch.tensor([[3e38, -3e38]])
    assert np.isfinite(Scores.of(huge, torch.tensor([1])).nll)


def test_evaluation_does_not_depend_on_the_batches_and_puts_modes_back() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
    model[0].eval()
    pictures, labels = torch.randn(10, 3), torch.randint(2, (10,))
    whole, _ = logits_of(model, [(pictures, labels)])
    parts, truth = logits_of(model, [(pictures[:7], labels[:7]), (pictures[7:], labels[7:])])
    torch.testing.assert_close(whole, parts)
    assert torch.equal(truth, labels)
    assert [module.training for module in model] == [False, True, True]
    assert model[0].num_batches_tracked == 0
    assert score(model, [(pictures, labels)]) == Scores.of(whole, labels)

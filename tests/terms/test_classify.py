"""Cross entropy is torch's own, and what is no classification is refused."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tether.errors import DataError, PlanError
from tether.terms.classify import Classify


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_torchs_bit_for_bit(net: Any, smoothing: float):
    student = net.student().eval()
    terms = Classify(label_smoothing=smoothing)(student, net.batch)
    assert torch.equal(terms.total, cross_entropy(student(net.inputs), net.labels, label_smoothing=smoothing))


def test_smoothing_is_its_formula():
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.randint(4, (6,))
    target = 0.7 * nn.functional.one_hot(labels, 4) + 0.3 / 4
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    found = Classify(label_smoothing=0.3)(nn.Identity(), (logits, labels)).total
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [1.0, -0.1, float("nan"), "0.1", True])
def test_a_smoothing_that_is_none_is_refused(smoothing: Any):
    with pytest.raises(PlanError, match="label_smoothing"):
        Classify(label_smoothing=smoothing)


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (None, "needs labels"),
        (torch.zeros(5, dtype=torch.long), "for each of 6 samples, and these are \\(5,\\)"),
        (torch.zeros(6), "these are \\(6,\\) of torch.float32"),
        (torch.zeros(6, 4, dtype=torch.long), "these are \\(6, 4\\)"),
        ([0] * 6, "these are list"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, what: str):
    with pytest.raises(DataError, match=what):
        Classify()(nn.Identity(), (torch.zeros(6, 4), labels))


@pytest.mark.parametrize("output", [torch.zeros(6), torch.zeros(6, 4, dtype=torch.long), {"logits": torch.zeros(6, 4)}])
def test_a_model_without_logits_is_refused(output: Any):
    with pytest.raises(DataError, match=f"the model returns a {type(output).__name__}"):
        Classify()(nn.Identity(), (output, torch.zeros(6, dtype=torch.long)))

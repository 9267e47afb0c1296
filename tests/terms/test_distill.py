"""Distillation of logits and features, against their formulas."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import kl_div

from tether.errors import PlanError
from tether.terms.distill import FeatureDistill, LogitDistill, divergence
from tether.terms.taps import Tap, forward
from tether.terms.teacher import frozen


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 20.0])
def test_the_divergence_is_torchs_times_the_squared_temperature(temperature: float):
    ours, theirs = (3 * torch.randn(6, 5, dtype=torch.float64) for _ in range(2))
    p, log_q = (theirs / temperature).softmax(1), (ours / temperature).log_softmax(1)
    expected = temperature**2 * kl_div(log_q, p, reduction="batchmean")
    torch.testing.assert_close(divergence(ours, theirs, temperature), expected)


def test_gradcheck():
    ours = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    theirs = torch.randn(4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: divergence(logits, theirs, 2.0), ours)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-3, 1.0, 300.0])
def test_equal_logits_have_no_divergence_and_no_gradient(dtype: torch.dtype, size: float):
    logits = (size * torch.randn(16, 1000)).to(dtype)
    ours = logits.clone().requires_grad_()
    value = divergence(ours, logits)
    value.backward()
    assert value == 0 and not ours.grad.any()


def test_in_single_precision_it_is_near_double_and_finite_for_wide_logits():
    ours, theirs = (100 * torch.randn(8, 10) for _ in range(2))
    torch.testing.assert_close(
        divergence(ours, theirs), divergence(ours.double(), theirs.double()).float(), rtol=1e-5, atol=0
    )


def test_the_sources_head_reads_the_students_features(net: Any):
    student = net.student().eval()
    features = forward(student, net.inputs, [Tap(net.head, "input")]).one(Tap(net.head, "input"))
    expected = divergence(net.source.get_submodule(net.head)(features), net.twin()(net.inputs), 3.0)
    for head in (None, net.head):
        found = LogitDistill(net.teacher, head=head, temperature=3.0)(student, net.batch).total
        torch.testing.assert_close(found, expected)


def test_the_sources_head_takes_no_gradient_and_the_new_one_none_either(cnn: Any):
    student = cnn.student()
    LogitDistill(cnn.teacher)(student, cnn.batch).total.backward()
    assert all(p.grad is None for p in cnn.teacher.parameters())
    assert student.head.weight.grad is None
    assert student.embed.weight.grad.any()


def test_a_new_head_of_any_width_does_not_matter(cnn: Any):
    student = cnn.twin()
    student.head = nn.Linear(64, 3)
    assert LogitDistill(cnn.teacher)(student, cnn.batch).total == 0


def test_features_of_another_width_are_refused(cnn: Any):
    student = cnn.student()
    student.embed, student.head = nn.Linear(48 * 9, 32), nn.Linear(32, 5)
    with pytest.raises(PlanError, match=r"is given \(6, 32\), and the teacher's \(6, 64\)"):
        LogitDistill(cnn.teacher)(student, cnn.batch)


def test_a_student_in_bfloat16_may_have_a_teacher_in_single(cnn: Any):
    student = cnn.student()
    exact = LogitDistill(cnn.teacher)(student, cnn.batch).total
    teacher = deepcopy(cnn.teacher)
    teacher.register_forward_pre_hook(lambda module, args: (args[0].float(),))  # one batch for both
    found = LogitDistill(teacher)(student.bfloat16(), (cnn.inputs.bfloat16(), None)).total
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.2, atol=0.02)


def test_a_head_that_gives_no_row_a_sample_is_refused(cnn: Any):
    with pytest.raises(PlanError, match="no \\(batch, classes\\)"):
        LogitDistill(cnn.teacher, head="conv2")(cnn.student(), cnn.batch)


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), "2", None])
def test_a_temperature_that_is_none_is_refused(temperature: Any):
    with pytest.raises(PlanError, match="temperature"):
        LogitDistill(temperature=temperature)


def test_features_are_compared_by_their_mean_square(resnet: Any):
    student = resnet.student().eval()
    taps = [Tap("layer2"), Tap("layer3")]
    ours, theirs = forward(student, resnet.inputs, taps), forward(resnet.twin(), resnet.inputs, taps)
    expected = sum(nn.functional.mse_loss(ours.one(tap), theirs.one(tap)) for tap in taps)
    found = FeatureDistill(resnet.teacher, layers=["layer[23]"])(student, resnet.batch).total
    torch.testing.assert_close(found, expected)


def test_training_toward_the_sources_logits_brings_them_back(cnn: Any):
    student, term = cnn.student(), LogitDistill(frozen(deepcopy(cnn.source)))
    first = term(student, cnn.batch).total.item()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        term(student, cnn.batch).total.backward()
        optimizer.step()
    assert term(student, cnn.batch).total.item() < 0.2 * first

"""The distance of feature maps, against loops; weights and layers that do not fit are refused."""

from typing import Any

import pytest
import torch
from torch import nn

from tether.errors import NoParameterSelected, PlanError
from tether.terms.delta import Delta, distance
from tether.terms.taps import Tap, forward
from tether.terms.teacher import frozen


@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 4, 5, 2), 1), ((3, 4), 1), ((3, 5, 4), -1), ((3, 5, 4), 2), ((3, 4, 5), 1)]
)
def test_it_is_the_sum_over_channels_and_the_mean_over_samples(shape: tuple[int, ...], axis: int):
    ours, theirs = (torch.randn(shape, dtype=torch.float64) for _ in range(2))
    weights = torch.rand(4, dtype=torch.float64)
    expected = sum(
        float(weights[j]) * float((ours[i] - theirs[i]).movedim(axis - 1 if axis > 0 else axis, 0)[j].norm() ** 2)
        for i in range(3)
        for j in range(4)
    )
    assert float(distance(ours, theirs, weights, axis)) == pytest.approx(expected / 3, rel=1e-12)


def test_gradcheck():
    ours = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    theirs, weights = torch.randn(2, 3, 2, 2, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda maps: distance(maps, theirs, weights), ours)


def test_without_weights_every_channel_has_the_same_and_they_sum_to_one(net: Any):
    student = net.student().eval()
    channels = {"conv3": 48, "layer3": 64, "encoder.layers.1": 8}[net.layer]
    equal = {net.layer: torch.full((channels,), 1 / channels)}
    given = Delta(net.teacher, layers=[net.layer], axis=net.axis, weights=equal)(student, net.batch).total
    torch.testing.assert_close(Delta(net.teacher, layers=[net.layer], axis=net.axis)(student, net.batch).total, given)


def test_the_layers_are_those_of_the_two_models(resnet: Any):
    student = resnet.student().eval()
    taps = [Tap("layer1"), Tap("layer2"), Tap("layer3")]
    ours = forward(student, resnet.inputs, taps)
    theirs = forward(resnet.twin(), resnet.inputs, taps)
    weights = {tap.layer: torch.rand(16 * 2**i) for i, tap in enumerate(taps)}
    expected = sum(distance(ours.one(tap), theirs.one(tap), weights[tap.layer]) for tap in taps)
    for layers in (["layer1", "layer2", "layer3"], ["layer?"]):
        found = Delta(resnet.teacher, layers=layers, weights=weights)(student, resnet.batch).total
        torch.testing.assert_close(found, expected)


def test_a_layer_named_twice_counts_once(resnet: Any):
    student = resnet.student().eval()
    once, twice = (Delta(resnet.teacher, layers=layers) for layers in (["layer3"], ["layer3", "layer3"]))
    assert once(student, resnet.batch).total == twice(student, resnet.batch).total


def test_a_channel_without_weight_is_free(cnn: Any):
    student = cnn.student()
    weights = {"conv3": torch.zeros(48).index_fill(0, torch.tensor([3]), 1.0)}
    Delta(cnn.teacher, layers=["conv3"], weights=weights)(student, cnn.batch).total.backward()
    moved = student.conv3.weight.grad.flatten(1).any(1)
    assert moved.nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("layers", [[], "layer3", [3], None])
def test_layers_that_are_no_list_of_names_are_refused(layers: Any):
    with pytest.raises(PlanError, match="layer"):
        Delta(layers=layers)


@pytest.mark.parametrize("axis", [0, 1.0, True, None, "1"])
def test_an_axis_that_is_none_is_refused(axis: Any):
    with pytest.raises(PlanError, match="axis"):
        Delta(layers=["conv3"], axis=axis)


@pytest.mark.parametrize("weights", [torch.tensor([-1.0]), torch.tensor([float("nan")]), torch.ones(2, 2)])
def test_weights_that_are_none_are_refused(weights: Any):
    with pytest.raises(PlanError, match="the weights of `conv3`"):
        Delta(layers=["conv3"], weights={"conv3": weights})


def test_weights_of_other_layers_or_of_other_widths_are_refused(cnn: Any):
    student = cnn.student()
    with pytest.raises(PlanError, match="has weights of conv2, and looks at conv3"):
        Delta(cnn.teacher, layers=["conv3"], weights={"conv2": torch.ones(32)})(student, cnn.batch)
    with pytest.raises(PlanError, match="`conv3` has 48 channels, and 47 weights"):
        Delta(cnn.teacher, layers=["conv3"], weights={"conv3": torch.ones(47)})(student, cnn.batch)


def test_a_layer_of_another_shape_is_refused(cnn: Any):
    with pytest.raises(PlanError, match=r"`head` is \(6, 5\) in the student, and \(6, 7\) in the teacher"):
        Delta(cnn.teacher, layers=["head"])(cnn.student(), cnn.batch)


def test_a_glob_that_matches_more_in_one_model_is_refused(cnn: Any):
    student = cnn.student()
    student.conv3 = nn.Sequential(student.conv3)
    with pytest.raises(PlanError, match=r"`conv3.0` in one of student and teacher alone"):
        Delta(cnn.teacher, layers=["conv3*"])(student, cnn.batch)


def test_a_layer_that_is_in_neither_is_refused(cnn: Any):
    with pytest.raises(NoParameterSelected, match="`conv4` matches no layer of `DigitsCNN`"):
        Delta(cnn.teacher, layers=["conv4"])(cnn.student(), cnn.batch)


@pytest.mark.parametrize("teacher", ["source", 3, {}])
def test_a_teacher_that_is_no_model_is_refused(teacher: Any):
    with pytest.raises(PlanError, match="the teacher is a model"):
        Delta(teacher, layers=["conv3"])


def test_a_teacher_of_its_own_copy_holds_the_start(cnn: Any):
    """With no other force the student goes back to the source's maps."""
    student = cnn.student()
    term = Delta(frozen(cnn.source), layers=["conv3"])
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    first = term(student, cnn.batch).total.item()
    for _ in range(60):
        optimizer.zero_grad()
        term(student, cnn.batch).total.backward()
        optimizer.step()
    assert term(student, cnn.batch).total.item() < 0.05 * first

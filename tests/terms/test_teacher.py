"""The teacher is a copy that nothing trains, and anything else is refused."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from tether.errors import PlanError
from tether.terms.delta import Delta
from tether.terms.taps import Tap, forward
from tether.terms.teacher import ask, frozen


def test_it_is_a_copy_in_evaluation_mode_without_gradients(resnet: Any):
    source = resnet.source.train()
    teacher = frozen(nn.DataParallel(source))
    assert type(teacher) is type(source)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in teacher.state_dict().items())
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert source.training and all(p.requires_grad for p in source.parameters())
    source.linear.weight.detach().zero_()
    assert teacher.linear.weight.any()


def test_it_shows_what_the_source_shows_and_no_gradient(resnet: Any):
    found = ask(resnet.teacher, resnet.student(), resnet.inputs, [Tap("layer3")])
    expected = forward(resnet.twin(), resnet.inputs, [Tap("layer3")])
    assert torch.equal(found.one(Tap("layer3")), expected.one(Tap("layer3")))
    assert torch.equal(found.output, expected.output)
    assert not found.output.requires_grad and not found.one(Tap("layer3")).requires_grad


@pytest.mark.parametrize("how", ["whole", "a layer", "a parameter"])
def test_one_that_could_change_is_refused_where_it_is_given(resnet: Any, how: str):
    if how == "whole":
        resnet.teacher.train()
    elif how == "a layer":
        resnet.teacher.layer1[0].bn1.train()
    else:
        resnet.teacher.linear.bias.requires_grad_(True)
    told = {"whole": "it is in training mode", "a layer": "`layer1.0.bn1` is", "a parameter": "parameter `linear.bias`"}
    with pytest.raises(PlanError, match=told[how]):
        Delta(resnet.teacher, layers=["layer3"])


def test_one_that_is_set_to_training_later_is_refused_at_the_next_step(resnet: Any):
    student = resnet.student()
    term = Delta(resnet.teacher, layers=["layer3"])
    term(student, resnet.batch)
    student.held = resnet.teacher  # within the model, whose mode it then follows
    student.train()
    with pytest.raises(PlanError, match="not frozen"):
        term(student, resnet.batch)


def test_one_that_shares_a_parameter_with_the_student_is_refused(resnet: Any):
    student = resnet.student()
    term = Delta(resnet.teacher, layers=["layer3"])
    student.bn1.bias = nn.Parameter(resnet.teacher.bn1.bias.detach())  # another parameter, the same memory
    with pytest.raises(PlanError, match=r"share the parameter `bn1\.bias`"):
        term(student, resnet.batch)


def test_the_model_itself_cannot_be_its_own_teacher(resnet: Any):
    model = deepcopy(resnet.source).eval().requires_grad_(False)
    with torch.no_grad(), pytest.raises(PlanError, match="share the parameter"):
        Delta(model, layers=["layer3"])(model, resnet.batch)


def test_the_fast_path_of_attention_is_restored_when_a_pass_fails(cnn: Any):
    with pytest.raises(RuntimeError):
        ask(cnn.teacher, cnn.student(), torch.zeros(1, 9, 9), [])
    assert torch.backends.mha.get_fastpath_enabled()

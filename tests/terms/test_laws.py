"""What every term and every objective obeys, on three architectures."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tether.terms.base import Term
from tether.terms.bss import BSS
from tether.terms.classify import Classify
from tether.terms.delta import Delta
from tether.terms.distill import FeatureDistill, LogitDistill
from tether.terms.objective import Objective
from tether.terms.text import TERMS, parse

Make = Callable[[Any], Term]
EVERY: dict[str, Make] = {
    "Classify": lambda net: Classify(label_smoothing=0.1),
    "BSS": lambda net: BSS(k=2),
    "Delta": lambda net: Delta(net.teacher, layers=[net.layer], axis=net.axis),
    "LogitDistill": lambda net: LogitDistill(net.teacher),
    "FeatureDistill": lambda net: FeatureDistill(net.teacher, layers=[net.layer]),
}
TAUGHT = [name for name in EVERY if TERMS[name].taught]
every_term = pytest.mark.parametrize("make", EVERY.values(), ids=list(EVERY))
every_taught = pytest.mark.parametrize("make", [EVERY[name] for name in TAUGHT], ids=TAUGHT)


def whole(net: Any) -> Objective:
    return (
        Classify()
        + 0.05 * EVERY["Delta"](net)
        + 0.5 * LogitDistill(net.teacher)
        + 0.1 * BSS()
        + (2 * FeatureDistill(net.teacher, layers=[net.layer]))
    )


def gradient(model: nn.Module, objective: Any, batch: Any) -> Tensor:
    model.zero_grad()
    objective(model, batch).total.backward()
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])


class Counter:
    """How often a model's forward pass ran."""

    def __init__(self, model: nn.Module) -> None:
        self.calls = 0
        model.register_forward_hook(self.count)

    def count(self, *_: Any) -> None:
        self.calls += 1


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def test_the_laws_are_of_every_term():
    assert set(TERMS) == set(EVERY)


@every_taught
def test_with_the_source_for_a_student_it_is_zero_without_a_gradient(net: Any, make: Make):
    twin = net.twin()
    assert make(net)(twin, net.batch).total.item() == 0
    assert not gradient(twin, make(net), net.batch).any()


@every_taught
def test_with_another_student_it_is_above_zero_with_a_gradient(net: Any, make: Make):
    student = net.student()
    assert make(net)(student, net.batch).total.item() > 0
    assert gradient(student, make(net), net.batch).any()


@every_term
def test_its_gradient_is_that_of_its_value(net: Any, make: Make):
    net.double()
    student, step = net.student().double().eval(), 1e-6
    found, here = gradient(student, make(net), net.batch), parameters_to_vector(student.parameters()).detach()
    direction = found / found.norm() + torch.randn_like(found) / len(found) ** 0.5
    ends = []
    for there in (here + step * direction, here - step * direction):
        vector_to_parameters(there, student.parameters())
        ends.append(make(net)(student, net.batch).total.item())
    # the quotient of a value v in float64 is off by about 1e-16·v/step, and by step² of a third derivative
    slope = (ends[0] - ends[1]) / (2 * step)
    assert float(found @ direction) == pytest.approx(slope, rel=1e-5, abs=1e-9 * (1 + abs(ends[0])))


@every_term
def test_a_factor_scales_value_and_gradient(net: Any, make: Make):
    net.double()
    student = net.student().double().eval()
    alone, scaled = make(net), 3 * make(net)
    assert scaled(student, net.batch).total.item() == pytest.approx(
        3 * alone(student, net.batch).total.item(), rel=1e-12
    )
    torch.testing.assert_close(gradient(student, scaled, net.batch), 3 * gradient(student, alone, net.batch))
    assert not gradient(student, 0 * make(net), net.batch).any()


def test_the_total_is_the_sum_of_the_shares_and_of_the_terms_alone(net: Any):
    net.double()
    student = net.student().double().eval()
    terms = whole(net)(student, net.batch)
    assert terms.total.item() == pytest.approx(sum(float(value) for value in terms.values.values()), rel=1e-14)
    alone = {term.name: factor * term(student, net.batch).total.item() for factor, term in whole(net).parts}
    assert {name: float(value) for name, value in terms.values.items()} == pytest.approx(alone, rel=1e-12)
    assert list(terms.values) == ["classify", "delta", "logit_distill", "bss", "feature_distill"]
    assert not any(value.requires_grad for value in terms.values.values())


def test_all_terms_together_take_one_pass_of_each_model(net: Any):
    student = net.student()
    passes = Counter(student), Counter(net.teacher)
    terms = whole(net)(student, net.batch)
    assert [counter.calls for counter in passes] == [1, 1]
    torch.testing.assert_close(terms.output, student(net.inputs), rtol=1e-5, atol=1e-6)


def test_without_a_term_that_needs_it_the_teacher_is_not_asked(net: Any):
    counter = Counter(net.teacher)
    (Classify() + BSS())(net.student(), net.batch)
    assert counter.calls == 0


def test_training_leaves_the_teacher_as_it_was_bit_for_bit(net: Any):
    before = {name: value.clone() for name, value in net.teacher.state_dict().items()}
    student = net.student().train()
    own = {name: value.clone() for name, value in student.state_dict().items()}
    parameters = [*student.parameters(), *net.teacher.parameters()]  # by mistake
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        whole(net)(student, net.batch).total.backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in net.teacher.state_dict().items())
    moved = [name for name, value in student.state_dict().items() if not torch.equal(value, own[name])]
    assert any("running_mean" in name for name in moved) == any("running_mean" in name for name in own)
    assert {name for name, _ in student.named_parameters()} <= set(moved)


def test_no_hook_is_left_behind(net: Any):
    student = net.student()
    whole(net)(student, net.batch)
    assert hooks(student) == hooks(net.teacher) == 0


def test_the_students_mode_and_torchs_switches_are_left_alone(net: Any):
    student = net.student().train()
    whole(net)(student, net.batch)
    assert all(module.training for module in student.modules())
    assert torch.is_grad_enabled() and torch.backends.mha.get_fastpath_enabled()


def test_without_gradients_the_value_is_the_same(net: Any):
    student = net.student().eval()
    with_gradient = whole(net)(student, net.batch).total
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            without = whole(net)(student, net.batch).total
        assert not without.requires_grad
        torch.testing.assert_close(without, with_gradient.detach(), rtol=1e-5, atol=1e-6)


@every_term
def test_in_double_precision_the_value_is_double(net: Any, make: Make):
    net.double()
    student = net.student().double()
    assert make(net)(student, net.batch).total.dtype == torch.float64


@every_term
def test_under_autocast_the_value_is_single_and_near(net: Any, make: Make):
    student = net.student().eval()
    exact = make(net)(student, net.batch).total
    with torch.autocast("cpu", torch.bfloat16):
        found = make(net)(student, net.batch).total
    assert found.dtype == torch.float32
    # values of 8 bits differ by 2⁻⁸ of themselves, and their differences from the teacher's by more
    torch.testing.assert_close(found, exact, rtol=0.15, atol=0.01)
    found.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


@every_taught
def test_under_autocast_the_source_for_a_student_is_zero_too(net: Any, make: Make):
    twin = net.twin()
    with torch.autocast("cpu", torch.bfloat16):
        total = make(net)(twin, net.batch).total
    assert total.item() == 0
    total.backward()
    assert all(p.grad is None or not p.grad.any() for p in twin.parameters())


@every_term
def test_in_bfloat16_the_value_is_single_and_finite(net: Any, make: Make):
    net.teacher.bfloat16()
    value = make(net)(net.student().bfloat16(), (net.inputs.bfloat16(), net.labels)).total
    assert value.dtype == torch.float32
    assert value.isfinite()


@every_taught
def test_in_a_wrapper_it_is_the_same(net: Any, make: Make):
    student = net.student()
    wrapped = nn.DataParallel(student)  # which adds `module.` to every name, and on a CPU does no more
    assert make(net)(wrapped, net.batch).total.item() == make(net)(student, net.batch).total.item()


@every_term
def test_it_reads_back(net: Any, make: Make):
    term = make(net)
    read = parse(repr(term))
    assert repr(read) == repr(term)
    bound, student = read.bind(net.teacher), net.student().eval()
    assert bound(student, net.batch).total.item() == term(student, net.batch).total.item()

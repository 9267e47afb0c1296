"""Sums and multiples of terms, their names, and what they refuse."""

from typing import Any

import pytest
import torch

from tether.errors import DataError, PlanError
from tether.terms.bss import BSS
from tether.terms.classify import Classify
from tether.terms.delta import Delta
from tether.terms.distill import FeatureDistill, LogitDistill
from tether.terms.teacher import frozen


def test_factors_multiply_through_a_sum():
    objective = 2 * (Classify() + 0.5 * BSS()) + BSS(k=3) * 4
    assert [factor for factor, _ in objective.parts] == [2.0, 1.0, 4.0]
    assert repr(objective) == "2.0 * Classify() + BSS() + 4.0 * BSS(k=3)"
    assert objective.names == ("classify", "bss", "bss_2")


@pytest.mark.parametrize("factor", [-1, float("nan"), float("inf"), -0.5])
def test_a_factor_that_is_negative_or_not_finite_is_refused(factor: float):
    with pytest.raises(PlanError, match=r"a factor is a finite number, 0 or more"):
        factor * Classify()


@pytest.mark.parametrize("factor", ["2", None, True, torch.tensor(2.0)])
def test_a_factor_that_is_no_number_is_no_factor(factor: Any):
    with pytest.raises(TypeError):
        Classify() * factor


@pytest.mark.parametrize("other", [1.0, "BSS()", None])
def test_only_terms_can_be_added(other: Any):
    with pytest.raises(TypeError):
        Classify() + other


def test_what_is_printed_is_one_line_that_adds_up(cnn: Any):
    terms = (Classify() + 0.5 * FeatureDistill(cnn.teacher, layers=["embed"]))(cnn.student(), cnn.batch)
    total, shares = str(terms).split(" = ")
    numbers = [float(share.split()[1]) for share in shares.split(" + ")]
    assert [share.split()[0] for share in shares.split(" + ")] == ["classify", "feature_distill"]
    assert float(total) == pytest.approx(sum(numbers), rel=1e-3)


def test_the_log_has_plain_numbers(cnn: Any):
    terms = (Classify() + 0.1 * BSS())(cnn.student(), cnn.batch)
    log = terms.log()
    assert list(log) == ["terms/total", "terms/classify", "terms/bss"]
    assert all(type(value) is float for value in log.values())
    assert log["terms/total"] == pytest.approx(log["terms/classify"] + log["terms/bss"], rel=1e-6)


def test_a_teacher_is_bound_where_one_is_needed_and_absent(cnn: Any):
    other = frozen(cnn.source)
    objective = Classify() + Delta(layers=["conv3"]) + LogitDistill(other)
    assert objective.untaught
    bound = objective.bind(cnn.teacher)
    assert not bound.untaught and objective.untaught
    assert [term.teacher for _, term in bound.parts] == [None, cnn.teacher, other]


def test_two_teachers_are_each_asked_once(cnn: Any):
    other, calls = frozen(cnn.student()), []
    for teacher in (cnn.teacher, other):
        teacher.register_forward_hook(lambda module, *_: calls.append(id(module)))
    objective = sum(
        (FeatureDistill(teacher, layers=["embed"]) for teacher in (cnn.teacher, other, cnn.teacher)),
        start=1 * Classify(),
    )
    values = objective(cnn.student(), cnn.batch).values
    assert sorted(calls) == sorted([id(cnn.teacher), id(other)])
    assert values["feature_distill"] == values["feature_distill_3"] != values["feature_distill_2"]


def test_a_term_without_its_teacher_is_refused(cnn: Any):
    with pytest.raises(PlanError, match="`Delta\\(layers=\\['conv3'\\]\\)` has no teacher"):
        (Classify() + Delta(layers=["conv3"]))(cnn.student(), cnn.batch)


@pytest.mark.parametrize("batch", [torch.zeros(2, 1, 8, 8), (torch.zeros(2, 1, 8, 8),), {"x": 1}, None], ids=str)
def test_a_batch_that_is_no_pair_is_refused(cnn: Any, batch: Any):
    with pytest.raises(DataError, match="not a pair"):
        BSS()(cnn.student(), batch)


def test_inputs_are_handed_on_as_they_are():
    from torch import nn

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.head(self.body(torch.cat([inputs["left"], inputs["right"]], 1)).relu())

    batch = ({"left": torch.randn(5, 2), "right": torch.randn(5, 2)}, torch.randint(3, (5,)))
    model = Joined()
    objective = Classify() + LogitDistill(frozen(model)) + BSS()
    assert objective(model, batch).values["logit_distill"] == 0

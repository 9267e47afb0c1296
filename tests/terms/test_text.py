"""Objectives are read from text, without running it, and what is none is refused."""

from typing import Any

import pytest

from tether.errors import PlanError, SettingsError
from tether.terms.bss import BSS
from tether.terms.classify import Classify
from tether.terms.delta import Delta
from tether.terms.distill import FeatureDistill, LogitDistill
from tether.terms.text import parse

WRITTEN = [
    1.0 * Classify(),
    Classify(label_smoothing=0.1) + 0.001 * BSS(),
    Classify() + 0.05 * Delta(layers=["layer1", "layer[23]"]) + 2.5 * Delta(layers=["embed"], axis=-1),
    Classify() + 0.25 * LogitDistill() + 1e-7 * LogitDistill(head="fc", temperature=4.0),
    3 * FeatureDistill(layers=["a'b"]) + BSS(k=4, layer="pool"),
]


@pytest.mark.parametrize("objective", WRITTEN, ids=repr)
def test_what_is_printed_is_read_back(objective: Any):
    read = parse(repr(objective))
    assert repr(read) == repr(objective)
    assert [(factor, type(term)) for factor, term in read.parts] == [(f, type(t)) for f, t in objective.parts]


def test_a_sum_may_be_multiplied_from_either_side():
    assert repr(parse("0.5 * (Classify() + 2 * BSS()) * 2")) == "Classify() + 2.0 * BSS()"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Classify",
        "0.5",
        "Classify() - BSS()",
        "Classify() + 0.5",
        "BSS() * BSS()",
        "Classify() if 1 else BSS()",
        "__import__('os').system('false')",
        "Classify().bind(1)",
        "BSS(1)",
        "Delta('source', layers=['a'])",
        "BSS(**{'k': 2})",
        "BSS(**3)",
        "Delta(layers=['a'], axis=True)",
        "BSS(k=2",
        "True * BSS()",
        "Delta(layers=['a'])(1)",
        "[Classify()]",
        "'Classify()'",
        "(" * 400 + "BSS()" + ")" * 400,
    ],
)
def test_what_is_no_objective_is_refused(text: str):
    with pytest.raises(PlanError):
        parse(text)


def test_a_factor_out_of_range_is_refused():
    with pytest.raises(PlanError, match="a factor is a finite number"):
        parse("1e999 * BSS()")


def test_a_term_that_is_not_known_is_told_with_one_near():
    with pytest.raises(SettingsError, match="no term is named `Classfy`") as refused:
        parse("Classfy() + BSS()")
    assert refused.value.fix == "did you mean `Classify`?"


def test_an_argument_that_a_term_does_not_take_is_told():
    with pytest.raises(PlanError) as refused:
        parse("BSS(count=2)")
    assert refused.value.why == "`BSS`: got an unexpected keyword argument 'count'"


@pytest.mark.parametrize("text", ["BSS(k=0)", "Delta()", "LogitDistill(temperature=-1)", "Delta(layers='layer3')"])
def test_what_a_term_refuses_stays_its_own_refusal(text: str):
    with pytest.raises(PlanError) as refused:
        parse(text)
    assert text.partition("(")[0] in refused.value.what and "is no objective" not in refused.value.what


def test_no_teacher_can_be_written():
    with pytest.raises(PlanError, match="the teacher is a model"):
        parse("LogitDistill(teacher='resnet50.safetensors')")


@pytest.mark.parametrize("objective", WRITTEN, ids=repr)
def test_it_needs_a_teacher_where_one_is_bound_later(objective: Any):
    taught = any(isinstance(term, Delta | LogitDistill | FeatureDistill) for _, term in objective.parts)
    assert parse(repr(objective)).untaught == taught

import pytest

from tether.errors import PlanError, SettingsError
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.pull import Pull
from tether.penalties.text import PENALTIES, parse


@pytest.mark.parametrize(
    ("text", "penalty"),
    [
        ("L2(0.01)", L2(0.01)),
        (" L2( strength = 1e-2 ) ", L2(0.01)),
        ("L1(1)", L1(1.0)),
        ("2 * L2(0.5) + L1(1e-4) * 2", L2(1.0) + L1(2e-4)),
        ("2 * (L2(0.5) + GroupLasso(0.1))", L2(1.0) + GroupLasso(0.2)),
        ("Frozen()", Frozen()),
        ('(L2(1) + L1(2)).toward("zero")', Pull(L2(1.0) + L1(2.0), "zero")),
        ("none", None),
        ("None", None),
    ],
)
def test_an_expression_is_read(text, penalty):
    assert parse(text) == penalty


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.1",
        "L2",
        "L2()",
        "L2(0.1, 0.2)",
        "L2(0.1",
        "L2(0.1) + 3",
        "L2(0.1) - L1(0.1)",
        "L2(0.1) * L1(0.1)",
        "'a' * 1000000000 * L2(0.1)",
        "L2(True)",
        "L2(0.1) # + L1(0.1)",
        "L2(strength=0.1, strength=0.2)",
        "L2(0.1).toward('zero', 0)",
        "L2(-0.1)",
        '"L2"',
        '0.5.toward("zero")',
        'L2("0.1")',
        "L2(1e999)",
        "L2(1" + 400 * "0" + ")",
        "L2(0.1).toward(3)",
        "L2(0.1).scaled(2)",
        "L2(**{'strength': 0.1})",
        "L2(0.1, **{})",
        "__import__('os').getcwd()",
        "[L2(x) for x in (1,)]",
        "(" * 300 + "L2(1)" + ")" * 300,
    ],
)
def test_what_is_no_penalty_is_refused_and_nothing_is_run(text):
    with pytest.raises(PlanError):
        parse(text)


def test_a_name_that_is_not_known_says_what_is_near():
    with pytest.raises(SettingsError, match="did you mean `GroupLasso`"):
        parse("GroupLaso(0.1)")


def test_every_class_is_registered():
    assert set(PENALTIES) == {"L2", "L1", "GroupLasso", "FrobeniusBall", "MarsBall", "Frozen"}


def test_schedules_views_and_references_read_back():
    for text in (
        'L2(0.1).toward("source", Cosine(steps=100, end=0.5))',
        'L2(0.1).toward("source", Annealing(rate=0.05, middle=250))',
        '(L2(0.1) + GroupLasso(0.1, Heads(12, axis=1))).toward("zero")',
        'GroupLasso(0.1, Heads(4, fused=3)).toward("runs/other")',
    ):
        assert repr(parse(text)) == text
        assert parse(text) == parse(repr(parse(text)))


def test_a_part_is_no_penalty():
    with pytest.raises(PlanError):
        parse("Cosine(100)")

"""The words of an axis part at the right commas, and what is written is read again as it was."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether.errors import SettingsError
from tether.settings import dotted
from tether.study.axis import axis_text, read_axis, value_text


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("plan=none,l2", "plan", ["none", "l2"]),
        ("plan=l2_sp(alpha=0.1,beta=0.01),l2", "plan", ["l2_sp(alpha=0.1,beta=0.01)", "l2"]),
        ("plan= l2_sp(alpha=0.1, beta=1) , l2 ", "plan", ["l2_sp(alpha=0.1, beta=1)", "l2"]),
        ('plan=group_lasso_sp(alpha=1,view="a),b"),l2', "plan", ['group_lasso_sp(alpha=1,view="a),b")', "l2"]),
        (r"plan=a(view='\'),b'),l2", "plan", [r"a(view='\'),b')", "l2"]),
        ("optimizer.lr=1e-4,3e-4", "optimizer.lr", [1e-4, 3e-4]),
        ("data.per_class=2,5", "data.per_class", [2, 5]),
        ("probe=true,false", "probe", [True, False]),
        ('data.path="a,b",c', "data.path", ["a,b", "c"]),
        ("data.path='a\\',b", "data.path", ["a\\", "b"]),
        ("data.path=it's,b", "data.path", ["it's", "b"]),
        ("preprocessing.mean=[0.1, 0.2],[0.3]", "preprocessing.mean", [[0.1, 0.2], [0.3]]),
        ("plan.transferred=L2(0.1) + L1(0.2),none", "plan.transferred", ["L2(0.1) + L1(0.2)", "none"]),
        ('plan.overrides."*.a=b"=none,L2(1)', 'plan.overrides."*.a=b"', ["none", "L2(1)"]),
        ('data.path="",a', "data.path", ["", "a"]),
        ("model.args={a = 1, b = [2, 3]},{}", "model.args", [{"a": 1, "b": [2, 3]}, {}]),
    ],
)
def test_values_part_at_commas_outside_brackets_and_quotes(text: str, key: str, values: list[Any]) -> None:
    assert read_axis(text) == (key, values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("plan", "has no `=`"),
        ("plan=" + "a," * 9999, "has no `=`, or more than 10,000"),
        ("plan=", "has an empty value"),
        ("plan=,l2", "has an empty value"),
        ("plan=l2,", "has an empty value"),
        ("plan=none,,l2", "has an empty value"),
        ("plan=l2_sp(alpha=0.1,l2", r"`\)` has no other of its pair"),
        ("plan=l2),l2_sp", r"`\)` has no other of its pair"),
        ("plan=l2(],l2", r"`\]` has no other of its pair"),
        ('data.path="a,b', '`"` has no other of its pair'),
        ('data.path="a" b,c', "begins as TOML and is none"),
        ("preprocessing.mean=[a],[b]", "begins as TOML and is none"),
        ("*=1", "is no key"),
    ],
)
def test_half_an_axis_is_refused_with_the_way_out(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refusal:
        read_axis(text)
    assert refusal.value.why
    assert refusal.value.fix


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("ab,()[]{}'\"\\ =#\n1.", max_size=12)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    st.lists(TEXTS, min_size=1, max_size=3)
    .map(lambda names: dotted(tuple(names)))
    .filter(lambda key: key.count("=") < 8)
)


@given(KEYS, st.lists(VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read_again(key: str, values: list[Any]) -> None:
    found = read_axis(axis_text(key, values))
    assert found == (key, values)
    assert list(map(_kinds, found[1])) == list(map(_kinds, values))


@given(st.text("ab,()[]{}'\"\\ =#1.", max_size=30))
def test_any_text_is_read_or_refused_and_what_is_read_is_written_back(text: str) -> None:
    try:
        key, values = read_axis(f"data.path={text}")
    except SettingsError:
        return
    assert read_axis(axis_text(key, values)) == (key, values)


def _kinds(value: Any) -> Any:
    """1, 1.0 and true are equal in Python, and none of them is another."""
    if isinstance(value, dict):
        return {name: _kinds(one) for name, one in value.items()}
    return [_kinds(one) for one in value] if isinstance(value, list) else type(value)


def test_numbers_that_are_none_and_what_is_not_set_have_words() -> None:
    assert read_axis(axis_text("a", [math.inf, -math.inf]))[1] == [math.inf, -math.inf]
    assert math.isnan(read_axis(axis_text("a", [math.nan]))[1][0])
    assert value_text(None) == "unset"


def test_nothing_in_a_value_is_unseen() -> None:
    assert value_text("\u202eabc") == r'"\u202eabc"'

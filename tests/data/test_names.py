import pytest

from tether.data.names import checked, odd
from tether.errors import DataError


def where(name: str) -> str:
    return f"at {len(name)}"


@pytest.mark.parametrize(
    "name", ["a", "Käfer", "кот", "犬", "🐈", "a b", "می\u200cخواهم", "<b>", "-rf", "'", "a" * 255]
)
def test_a_class_may_be_called_what_can_be_seen(name: str) -> None:
    assert odd(name) == ""
    assert checked([name, "other"], where) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\nb", "control character U+000A"),
        ("\x7f", "control character U+007F"),
        ("\u2028", "LINE SEPARATOR"),
        ("a\u00adb", "SOFT HYPHEN"),
        ("\ufeffa", "ZERO WIDTH NO-BREAK SPACE"),
        ("\udcff", "not UTF-8"),
        ("a" * 256, "256 characters"),
    ],
)
def test_what_cannot_be_seen_is_refused(name: str, why: str) -> None:
    with pytest.raises(DataError, match=f"at {len(name)}: ") as refusal:
        checked(["a", name], where)
    assert why in refusal.value.why
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("one", "two"), [("caf\u00e9", "cafe\u0301"), ("a b", "a  b"), ("a", "a "), ("mug", "mu\u200dg")]
)
def test_two_that_look_the_same_are_refused(one: str, two: str) -> None:
    with pytest.raises(DataError, match="look the same"):
        checked([two, "b", one], where)


def test_two_that_differ_in_little_are_told_of() -> None:
    assert checked(["b", "B", "ａ", "a", "c"], where) == [
        "Classes that differ only in case or width are kept apart: `B` and `b`, and 1 more."
    ]

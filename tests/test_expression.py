"""Expressions are read within bounds, with every part of them, and nothing is run."""

import ast
import warnings

import pytest

from tether.expression import DEEPEST, MOST_LETTERS, Unread, made, named, number, tree


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("a(", "was never closed"),
        ("a b", "at letter"),
        ("a = 1", "at letter"),
        ("a\nb", "at letter"),
        ("a # b", "what follows `#`"),
        ("a\0", "null bytes"),
        ("(" * 300 + ")" * 300, "too many nested parentheses"),
        ("-" * 9000 + "1", ""),
        ("+".join("a" * (DEEPEST + 1)), "deeper than 100"),
        ("a" * (MOST_LETTERS + 1), "10,000 at most"),
        ("9" * 30, "64 bits"),
        ("0x" + "f" * 9000, "64 bits"),
        ("9" * 5000, ""),
        (r"'\0'", "NUL"),
        (r"'\ud800'", "UTF-8"),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_not_read_says_why(text: str, why: str) -> None:
    with pytest.raises(Unread) as refusal:
        tree(text)
    assert why in str(refusal.value) and str(refusal.value)


def test_what_is_read_is_pythons_tree() -> None:
    for text in ("a", "f(1, x='#')", "a.b(2) + 3 * c", "[1, -2]", "+".join("a" * 90)):
        assert ast.dump(tree(f"  {text} ")) == ast.dump(ast.parse(text, mode="eval").body)


def test_pythons_advice_is_not_shown() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        tree(r"f('\d') + 1()")
    assert not shown


def test_numbers_have_a_sign_and_true_is_none() -> None:
    found = [number(tree(text)) for text in ("1", "-1.5", "--2", "True", "'1'", "1j", "x", "-x", "+1")]
    assert found == [1, -1.5, 2, None, None, None, None, None, None]


def test_arguments_are_given_once_and_by_name() -> None:
    def keywords(text: str) -> list[ast.keyword]:
        return tree(text).keywords  # type: ignore[attr-defined]

    assert named(keywords("f(a=1, b=2)"), number) == {"a": 1, "b": 2}
    for text in ("f(a=1, a=2)", "f(**x)"):
        with pytest.raises(Unread):
            named(keywords(text), number)


def test_a_call_that_does_not_fit_says_what_is_missing() -> None:
    def power(base: int, *, exponent: int) -> int:
        return base**exponent

    assert made("power", power, [2], {"exponent": 3}) == 8
    with pytest.raises(Unread, match="`power`: missing a required argument: 'exponent'"):
        made("power", power, [2], {})
    with pytest.raises(Unread, match="`power`: too many positional arguments"):
        made("power", power, [2, 3], {})
    with pytest.raises(Unread, match="`power` does not take such arguments"):
        made("power", power, ["a"], {"exponent": 2})

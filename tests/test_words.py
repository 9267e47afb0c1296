"""Words that are more than one value: parted at the right sign, and refused in the words of their flag."""

from typing import Any

import pytest

from tether.errors import SettingsError
from tether.words import key_and_rest, plan_words, value_of


def test_a_plan_that_cannot_be_read_names_its_flag() -> None:
    with pytest.raises(SettingsError, match=r"^`--vary plan l2-sp` is neither"):
        plan_words("l2-sp", flag="--vary plan")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a=1", ("a", "1")),
        (" a . b = c=d ", ("a.b", "c=d")),
        ('plan.overrides."a=b"=none', ('plan.overrides."a=b"', "none")),
        ("a=", ("a", "")),
        ("a", None),
    ],
)
def test_a_key_ends_at_the_first_sign_that_ends_one(text: str, parts: tuple[str, str] | None) -> None:
    assert key_and_rest(text) == parts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("l2", "l2"),
        ("1 # a", "1 # a"),
        ("1\nb = 2", None),
    ],
)
def test_a_value_is_toml_or_text(text: str, value: Any) -> None:
    assert value_of(text) == (text if value is None else value)


@pytest.mark.parametrize("text", ["[1", "'a", '"a" b', "{a}"])
def test_half_of_toml_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        value_of(text)

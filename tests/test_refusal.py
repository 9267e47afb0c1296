"""A refusal names file or flag, says what is taken and how to write it, in words of Tether's own."""

import math
import tomllib
from typing import Any

import pytest

from faults.settings import wrong_values
from faults.specs import spelled
from tether.errors import SettingsError
from tether.fields import Field
from tether.refusal import shown
from tether.spec import RunSpec

LEAST: dict[str, Any] = {"model": {"name": "digits-cnn"}, "data": {"path": "digits"}}
JARGON = (
    "extra inputs",
    "input should",
    "union",
    "valid ",
    "instance of",
    "pydantic",
    "parse",
    "__",
    "NoneType",
    "tuple",
)


def refused(tree: dict[str, Any], **given: Any) -> SettingsError:
    with pytest.raises(SettingsError) as refusal:
        RunSpec.parse(LEAST | tree, **given)
    return refusal.value


@pytest.mark.parametrize(
    ("field", "value"), [pytest.param(field, value, id=f"{field.key} = {value}") for field, _, value in wrong_values()]
)
def test_a_value_that_a_field_does_not_take_is_refused_in_words_of_our_own(field: Field, value: str) -> None:
    error = refused(tomllib.loads(spelled({field.key: value})), origin="`run.toml`")
    assert error.what.startswith(f"`run.toml`: `{field.key}")
    assert error.why.startswith(f"it takes {field.takes}")
    assert field.key.rpartition(".")[2] in error.fix
    assert not [word for word in JARGON if word in str(error)]


def test_an_example_of_a_fix_is_taken() -> None:
    for field, _, value in wrong_values():
        error = refused(tomllib.loads(spelled({field.key: value})))
        leaf, _, example = error.fix.split("`")[1].partition(" = ")
        if "…" not in example and field.key not in ("model.args", "plan.args", "fisher.data"):
            tree = tomllib.loads(spelled({f"{field.key.rpartition('.')[0]}.{leaf}".lstrip("."): example}))
            assert RunSpec.parse(tree), error.fix


@pytest.mark.parametrize(
    ("tree", "typed", "what", "fix"),
    [
        ({"seed": -1}, {"seed": "--seed"}, "`--seed` is -1", "--seed 0, or leave it out"),
        ({"probe": 1}, {"probe": "--set probe"}, "`--set probe` is 1", "--set 'probe=true', or leave it out"),
        ({"seed": -1}, {"threads": "--threads"}, "f: `seed` is -1", "`seed = 0`, or leave it out"),
        ({"seed": {"of": 1}}, {"seed.of": "--set seed.of"}, "`--set seed.of`: `seed` is a table", ""),
        ({"train": {"epochs": -1}}, {"train": "--set train"}, "`--set train` is -1", "`epochs = 1` under [train]"),
        (
            {"preprocessing": {"mean": [0.5, 2.0]}},
            {"preprocessing.mean": "--mean"},
            "`--mean`, item 2, is 2.0",
            "--mean 0.5",
        ),
        ({"model": {}}, {}, "f: `model.name` must be given", "--model, or [model] in the spec"),
        ({"model": "m"}, {}, "f: `model` is 'm'", "write [model] on a line of its own"),
        ({"train": {"epoch": 1}}, {}, "f: there is no setting `train.epoch`", "did you mean `epochs`?"),
        ({"epochs": 1}, {}, "f: there is no setting `epochs`", "did you mean `train.epochs`?"),
        ({"optimizer": {"momentum": 0.5}}, {}, "f: `optimizer.momentum = 0.5` has no effect", "leave `momentum` out"),
    ],
)
def test_it_names_what_was_typed(tree: dict[str, Any], typed: dict[str, str], what: str, fix: str) -> None:
    error = refused(tree, origin="f", typed=typed)
    assert error.what.startswith(what)
    assert fix in error.fix
    assert error.why


@pytest.mark.parametrize(
    ("tree", "count"),
    [
        ({"seed": -1}, 0),
        ({"seed": -1, "probe": 1}, 1),
        ({"model": {}, "data": {}, "seed": -1}, 2),
        ({"a": 1, "b": 1}, 1),
    ],
)
def test_it_counts_what_else_is_wrong(tree: dict[str, Any], count: int) -> None:
    assert ("more)" in refused(tree).what) == bool(count)
    assert not count or f"(and {count} more)" in refused(tree).what


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ("", "empty"),
        ({}, "a table"),
        (math.nan, "nan"),
        ("a\nb", "'a\\nb'"),
        ("a" * 1000, 70),
        ([1] * 99, 40),
    ],
)
def test_a_value_is_shown_short(value: Any, text: str | int) -> None:
    found = shown(value)
    assert found == text if isinstance(text, str) else len(found) <= text

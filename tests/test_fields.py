"""Every setting has its words: what it takes, its default, what it means."""

from tether.fields import fields
from tether.spec import RunSpec

KNOWN = fields(RunSpec.model_json_schema())


def test_every_setting_is_there_by_its_dotted_key() -> None:
    sections = {name for name in RunSpec.model_fields if f"{name}." in " ".join(KNOWN)}
    assert {key.partition(".")[0] for key in KNOWN} == set(RunSpec.model_fields)
    assert {"model", "data", "source", "plan", "train"} <= sections
    assert "train.epochs" in KNOWN


def test_every_setting_has_a_meaning_and_every_leaf_an_example() -> None:
    for key, field in KNOWN.items():
        assert field.says, key
        assert field.example, key
        assert field.takes, key


def test_words_of_a_type_and_its_range() -> None:
    assert KNOWN["train.batch_size"].takes == "a whole number from 1 to 1,000,000,000"
    assert KNOWN["seed"].takes == "a whole number from 0 to 4,294,967,295"
    assert KNOWN["optimizer.lr"].takes == "a number above 0"
    assert KNOWN["plan.scale"].takes == "a number from 0 on"
    assert KNOWN["optimizer.momentum"].takes == "a number from 0 and below 1"
    assert KNOWN["data.test"].takes == "a number from 0 to 1"
    assert KNOWN["data.augment"].takes == '"none", "shift" or "photo"'
    assert KNOWN["preprocessing.channels"].takes == "1 or 3"
    assert KNOWN["preprocessing.std"].takes == "a list of 1 to 3, each item a number above 0 and at most 1"
    assert KNOWN["source.rename"].takes == "a list, each item a list of 2 texts"
    assert KNOWN["plan.args"].takes == "a table, each value a number from 0 on or text"
    assert KNOWN["model"].takes == "a table"
    assert KNOWN["model.args"].takes == "a table, each value a value of any kind"


def test_defaults_are_as_toml_writes_them() -> None:
    assert KNOWN["probe"].default == "false"
    assert KNOWN["optimizer.name"].default == '"adamw"'
    assert KNOWN["data.test"].default == "0.2"
    assert KNOWN["source.rename"].default == "[]"
    assert KNOWN["train.epochs"].default is None
    assert KNOWN["model.name"].required and not KNOWN["train.epochs"].required

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether.errors import SettingsError
from tether.spec import RunSpec, read_toml

LEAST: dict[str, Any] = {"model": {"name": "digits-cnn"}, "data": {"path": "digits"}}


def parse(**settings: Any) -> RunSpec:
    return RunSpec.parse(LEAST | settings)


def test_the_least_spec_has_the_defaults_of_the_design():
    spec = parse()
    assert spec.batchnorm == "source"
    assert spec.source is None
    assert spec.plan.via is None
    assert spec.seed == 0


def test_toml_out_and_in_is_the_same_spec():
    spec = parse(
        source={"path": "a.safetensors", "rename": [["^a", "b"]], "exclude": ["fc.*"]},
        plan={"transferred": "L2(0.1)", "overrides": {"*.bias": "none"}},
        preprocessing={"mean": [0.5], "std": [0.25]},
        model={"name": "a.b:C", "args": {"depth": 20}},
    )
    again = RunSpec.parse(tomllib.loads(spec.to_toml()))
    assert again == spec
    assert again.digest == spec.digest


@given(
    seed=st.integers(0, 2**32 - 1),
    lr=st.floats(0, 1e3, exclude_min=True, allow_subnormal=False),
    test=st.floats(0, 1, exclude_max=True),
    args=st.dictionaries(st.text("abc", min_size=1), st.floats(0, 1e6)),
)
def test_any_numbers_survive_toml(seed: int, lr: float, test: float, args: dict[str, float]):
    plan = {"preset": "l2_sp", "args": args}
    spec = parse(seed=seed, optimizer={"lr": lr}, data={"path": "digits", "test": test}, plan=plan)
    assert RunSpec.parse(tomllib.loads(spec.to_toml())) == spec


def test_the_digest_changes_with_a_setting():
    assert parse().digest != parse(seed=1).digest
    assert parse().digest == parse(seed=0).digest
    assert len(parse().digest) == 64


def test_replace_and_flags_take_dotted_names():
    spec = RunSpec.from_flags({"model.name": "m", "data.path": "p", "train.epochs": 3})
    assert spec.train.epochs == 3
    assert spec.replace({"optimizer.lr": 0.5}).optimizer.lr == 0.5
    assert spec.optimizer.lr is None


def test_flags_lie_over_the_file(tmp_path: Path):
    path = tmp_path / "run.toml"
    path.write_text('seed = 3\n[model]\nname = "m"\n[data]\npath = "p"\n')
    assert RunSpec.from_toml(path).seed == 3
    assert RunSpec.from_toml(path, {"seed": 4}).seed == 4


def test_a_spec_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse().seed = 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, "there is no setting `sed`\nwhy: .*\nfix: did you mean `seed`"),
        ({"train": {"epoch": 3}}, "there is no setting `train.epoch`\nwhy: .*\nfix: did you mean `epochs`"),
        ({"source": {"path": "a", "renam": []}}, "`source.renam`\nwhy: .*\nfix: did you mean `rename`"),
        ({"train": {"epochs": -1}}, "`train.epochs` is -1\nwhy: it takes a whole number from 0 to"),
        ({"train": {"epochs": "three"}}, "`train.epochs` is 'three'\nwhy: it takes a whole number"),
        ({"seed": -1}, "`seed`"),
        ({"optimizer": {"lr": math.nan}}, "`optimizer.lr`"),
        ({"optimizer": {"lr": 0.0}}, "`optimizer.lr`"),
        ({"optimizer": {"momentum": 1.0}}, "`optimizer.momentum`"),
        ({"optimizer": {"name": "adam"}}, '`optimizer.name` is \'adam\'\nwhy: it takes "adamw" or "sgd"'),
        ({"plan": {"scale": math.inf}}, "`plan.scale`"),
        ({"model": {"name": "m", "args": {"a": {"b": None}}}}, "`model.args.a` is a table"),
        ({"model": {"name": "m", "args": {"a": [math.inf]}}}, "`model.args.a` is "),
        ({"plan": {"preset": "l2", "new": "L2(1.0)"}}, "exclude each other"),
        ({"plan": {"args": {"alpha": 1.0}}}, "none is named"),
        ({"batchnorm": "eval"}, "`batchnorm`"),
        ({"preprocessing": {"std": [0.0]}}, "`preprocessing.std`, item 1, is 0.0"),
        ({"version": 99}, "`version` is 99, and this Tether reads up to 1\nwhy: .*\nfix: pip install --upgrade"),
        ({"model": {}}, "`model.name` must be given"),
        ({"seed": -1, "batchnorm": "eval"}, r"\(and 1 more\)"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str):
    with pytest.raises(SettingsError, match=message):
        parse(**settings)


def test_a_section_that_is_missing_says_its_flag():
    with pytest.raises(SettingsError, match=r"`model` must be given\nwhy: .*\nfix: --model"):
        RunSpec.parse({"data": {"path": "p"}})


def test_a_dotted_name_under_a_value_is_refused():
    with pytest.raises(SettingsError, match="`seed` is a value, not a table"):
        parse().replace({"seed.of": 1})


@pytest.mark.parametrize("content", ["seed = ", "[model", b"\xff\xfe\x00"], ids=repr)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: str | bytes):
    path = tmp_path / "run.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match="is not TOML") as refusal:
        read_toml(path)
    assert str(path) in refusal.value.what


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match="there is no file"):
        RunSpec.from_toml(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="is a folder"):
        RunSpec.from_toml(tmp_path)


def test_a_byte_order_mark_is_no_error(tmp_path: Path):
    path = tmp_path / "run.toml"
    path.write_text("seed = 1\n", encoding="utf-8-sig")
    assert read_toml(path) == {"seed": 1}

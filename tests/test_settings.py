"""Trees of settings: from files, by dotted keys, and within bounds."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether.errors import SettingsError
from tether.settings import MOST_BYTES, dotted, key_parts, read_toml, refuse_unbounded, to_toml, walk, with_settings

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_dotted_key_of_any_names_reads_back(names: list[str]) -> None:
    assert key_parts(dotted(tuple(names))) == names
    tree = tomllib.loads(f"{dotted(tuple(names))} = 1")
    assert [path for path, value in walk(tree) if value == 1] == [tuple(names)]


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "a.",
        "a b",
        "*.bias",
        "#",
        "a = 0 #",
        "a.b = {} #",
        "a\n[b]",
        "a=1\nb",
        "a" * 2000,
        "a." * 40 + "a",
        "'",
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="is no key of a setting") as refusal:
        key_parts(key)
    assert refusal.value.why and refusal.value.fix


def test_settings_lie_over_a_tree_which_stays_as_it_was() -> None:
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    found = with_settings(tree, {"a.b": 4, 'a.c."x.y"': 5, "f.g": 6})
    assert found == {"a": {"b": 4, "c": {"d": 2, "x.y": 5}}, "e": 3, "f": {"g": 6}}
    assert tree == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}


def test_a_key_through_a_value_is_refused() -> None:
    with pytest.raises(SettingsError, match="`a` is a value, not a table"):
        with_settings({"a": 1}, {"a.b": 2})


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ({"a": 2**63}, "64 bits"),
        ({"a": [{"b": -(2**63) - 1}]}, "64 bits"),
        ({"a": "x\0"}, "NUL"),
        ({"a\0": 1}, "NUL"),
        ({"a": ["\udcff"]}, "UTF-8"),
        ({"\ud800": 1}, "UTF-8"),
    ],
)
def test_what_no_spec_can_hold_is_refused(tree: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=r"^f: `.*` cannot be held") as refusal:
        refuse_unbounded(tree, "f")
    assert why in refusal.value.why


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_the_deepest_tree_is_held_and_one_deeper_is_not(wrap: Any) -> None:
    tree: Any = 1
    for _ in range(31):
        tree = wrap(tree)
    refuse_unbounded({"a": tree}, "f")
    for deeper in (wrap(tree), wrap(wrap(tree))):
        with pytest.raises(SettingsError, match="cannot be held"):
            refuse_unbounded({"a": deeper}, "f")
    for _ in range(100_000):
        tree = wrap(tree)
    with pytest.raises(SettingsError, match="cannot be held"):
        refuse_unbounded({"a": tree}, "f")
    while isinstance(tree, list | dict) and tree:  # taken apart by hand, since Python would recurse
        tree = tree[0] if isinstance(tree, list) else tree["a"]


def test_the_edges_of_64_bits_are_held() -> None:
    tree = {"a": [2**63 - 1, -(2**63), True]}
    refuse_unbounded(tree, "f")
    assert tomllib.loads(to_toml(tree)) == tree


def test_the_largest_file_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"a = 1\n#" + b" " * (MOST_BYTES - 7))
    assert read_toml(path) == {"a": 1}
    path.write_bytes(b"a = 1\n#" + b" " * (MOST_BYTES - 6))
    with pytest.raises(SettingsError, match="bytes"):
        read_toml(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("a = 1\na = 2", "there twice: Cannot overwrite a value"),
        ("[a]\n[a]", "there twice: "),
        ("a = 1" + "0" * 5000, "too many digits"),
        ("a = " + "[" * 5000, "too deeply"),
        ("a = ", "at end of document"),
        ("a = 1".encode("utf-16"), "UTF-16"),
        ("a = 1".encode("utf-16-be"), "UTF-16"),
        ("a = 1".encode("utf-16-le"), "UTF-16"),
        (b"a = 1\n# \xff", "byte 9 is no UTF-8"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_why_a_file_is_no_toml(content: str | bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match=r"run\.toml` is not TOML") as refusal:
        read_toml(tmp_path / "run.toml")
    assert why in refusal.value.why and refusal.value.fix


def test_a_dot_in_text_and_lists_is_no_deep_key(tmp_path: Path) -> None:
    listed = ", ".join(['"d.e.f"'] * 100)
    text = 'a = "' + "b." * 31 + f'"\nc = [{listed}]\n# ... {"x " * 99}\n'
    (tmp_path / "run.toml").write_text(text)
    assert read_toml(tmp_path / "run.toml")["c"] == ["d.e.f"] * 100


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.toml")
    with pytest.raises(SettingsError, match="is a named pipe"):
        read_toml(tmp_path / "run.toml")

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tether import errors

ROOT = Path(__file__).parents[2]
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TetherError)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("error_list", ROOT / "scripts" / "errors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_error_says_why_and_what_to_do(script: ModuleType) -> None:
    lacking = [
        f"{place.path}:{place.line} has no {' and no '.join(place.lacks)}" for place in script.places() if place.lacks
    ]
    assert not lacking


def test_the_page_is_current(script: ModuleType) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert page == script.page(script.by_hand(), script.places()), "python scripts/errors.py writes it again"


def test_the_list_finds_the_errors_of_each_kind(script: ModuleType) -> None:
    found = {place.kind for place in script.places()}
    known = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.TetherError)
    }
    assert known - found == {"TetherError"}


def test_the_hand_written_part_names_every_class_and_exit_code(script: ModuleType) -> None:
    by_hand = script.by_hand()
    assert re.findall(r"^\| `(\w+)` \|", by_hand, flags=re.MULTILINE) == [kind.__name__ for kind in KINDS]
    codes = {int(code) for code in re.findall(r"^\| (\d+)", by_hand, flags=re.MULTILINE)}
    assert {kind.exit_code for kind in KINDS} <= codes


@pytest.fixture
def read(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Any]:
    """The one place of a source."""

    def read(source: str) -> Any:
        (tmp_path / "errors.py").write_text((ROOT / "src" / "tether" / "errors.py").read_text(encoding="utf-8"))
        (tmp_path / "some.py").write_text(source)
        monkeypatch.setattr(script, "SOURCE", tmp_path)
        (found,) = [place for place in script.places() if place.path == "some.py"]
        return found

    return read


@pytest.mark.parametrize(
    ("source", "what", "why", "fix", "lacks"),
    [
        ('DataError("a", why="b", fix="c")', "a", "b", "c", ()),
        ('DataError(f"`{x}{y}` is {z!r}", why="b", fix="c")', "`…` is …", "b", "c", ()),
        ('DataError("a", why="b")', "a", "b", "", ("fix",)),
        ('DataError("a", fix="c")', "a", "", "c", ("why",)),
        ('DataError("a", why="b" if x else "", fix="c" if x else "d")', "a", "b / ", "c / d", ("why",)),
        ('DataError("a" + x, why=x or "b", fix=did_you_mean(x, y))', "a…", "… / b", "did you mean `…`?", ()),
    ],
)
def test_a_place_is_read_from_the_source(
    read: Callable[[str], Any], source: str, what: str, why: str, fix: str, lacks: tuple[str, ...]
) -> None:
    found = read(f"def f(x, y, z):\n    raise {source}\n")
    assert (found.kind, found.what, found.why, found.fix, found.lacks) == ("DataError", what, why, fix, lacks)


def test_names_in_a_function_are_looked_up(read: Callable[[str], Any]) -> None:
    body = 'def f(x):\n    why = f"it is {x}"\n    if x:\n        raise DataError("a | b", why=why, fix=WAY)\n'
    found = read(f'WAY = "go"\n\n{body}')
    assert (found.why, found.fix, found.row) == ("it is …", "go", r"| a \| b | it is … | go |")

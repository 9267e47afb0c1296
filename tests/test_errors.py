import inspect

import pytest

from tether import errors
from tether.errors import CheckpointError, MissingExtra, TetherError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TetherError)]


def test_a_refusal_is_what_why_and_fix():
    assert str(CheckpointError("`a.pt` is empty", why="0 bytes", fix="download it again")) == (
        "`a.pt` is empty\nwhy: 0 bytes\nfix: download it again"
    )
    assert str(CheckpointError("`a.pt` is empty")) == "`a.pt` is empty"


def test_the_tree_in_the_docstring_is_the_tree():
    tree = (errors.__doc__ or "").split("\n\n")[1]
    drawn = [(line.index(name), name) for line in tree.splitlines() for name in names(line)]
    assert {name for _, name in drawn} == {kind.__name__ for kind in KINDS}
    parents: list[tuple[int, str]] = []
    for depth, name in drawn:
        parents = [(above, parent) for above, parent in parents if above < depth]
        if parents:
            assert getattr(errors, name).__base__.__name__ == parents[-1][1]
        parents.append((depth, name))


def names(line: str) -> list[str]:
    return [word for word in line.replace("│", " ").split()[:2] if hasattr(errors, word) and word[0].isupper()][:1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code_of_the_design(kind):
    assert kind.exit_code in {2, 3, 4, 6}
    assert kind.exit_code == {"MachineError": 3, "Diverged": 4, "RunLocked": 6}.get(kind.__name__, 2)
    assert kind.__doc__


def test_a_missing_extra_names_the_command():
    error = MissingExtra("timm", "vision")
    assert error.fix == 'pip install "tether-ft[vision]"'
    assert "`timm` is not installed" in str(error)


def test_what_enters_an_error_stays_in_its_line() -> None:
    error = CheckpointError("no `a\nerror: b`", why="\x1b[2J", fix="ls \u202e")
    assert (error.what, error.why, error.fix) == (r"no `a\nerror: b`", r"\x1b[2J", r"ls \u202e")
    assert str(error).splitlines() == [r"no `a\nerror: b`", r"why: \x1b[2J", r"fix: ls \u202e"]

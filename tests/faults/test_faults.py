"""Every case of the table: its decision in three lines, in bounded time and memory, nothing run and nothing left."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import checkpoints, damage, folders, pictures, settings, shown, tables, unlabelled, untrusted
from faults.case import Case, canary
from tether.cli.app import COMMANDS, run

ROOM = 4 * 2**30
CASES: list[Case] = [
    *checkpoints.CASES,
    *damage.CASES,
    *settings.CASES,
    *shown.CASES,
    *pictures.CASES,
    *folders.CASES,
    *tables.CASES,
    *unlabelled.CASES,
    *untrusted.CASES,
]


@pytest.fixture
def bounded() -> Iterator[None]:
    """At most 4 GiB more address space than there is now."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_decision(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bounded: None
) -> None:
    given, here = tmp_path / "given", tmp_path / "here"
    given.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    words = [str(word) for word in case.make(given)]
    before = _listing(tmp_path)
    code = run(words, COMMANDS)
    out, err = capsys.readouterr()
    assert not canary(given).exists(), "the input ran code"
    assert code == case.code, out + err
    assert "Traceback" not in err
    assert not [c for c in out + err if not (c.isprintable() or c == "\n")], "control characters on the terminal"
    if case.code:
        assert out == ""
        assert _labels(err) == ["error", "why", "fix"], err
        assert _listing(tmp_path) == before, "a refusal left something behind"
    for said in case.says:
        assert said in (err if case.code else out + err)


def test_each_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def _labels(err: str) -> list[str]:
    return [line.partition(":")[0] for line in err.splitlines() if not line.startswith("  ")]


def _listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))

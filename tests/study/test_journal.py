"""A journal outlives the processes that write to it, whatever they were at."""

import builtins
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from tether.errors import DataError, MachineError, MissingExtra
from tether.lock import locked
from tether.study import journal
from tether.study.journal import JOURNAL, Guard, opened, require_optuna, sampler
from tether.study.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.make()
    return made


def told(place: Place, count: int = 1) -> list[int]:
    with opened(place) as found:
        study = found.study("one")
        for _ in range(count):
            study.tell(study.ask(), 1.0)
        return [trial.number for trial in study.trials]


def test_trials_are_there_when_it_is_opened_again(place: Place) -> None:
    assert told(place, 2) == [0, 1]
    assert told(place) == [0, 1, 2]


@pytest.mark.parametrize("torn", [b"{", b'{"op_code": 4, "study_id"', b"\0" * 10_000, b'{"a": "' + b"x" * 9_000])
def test_a_line_that_a_process_died_in_is_cut_off(place: Place, torn: bytes) -> None:
    told(place)
    path = place.folder / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert told(place) == [0, 1]
    assert path.read_bytes().startswith(whole + b'{"op_code"')


def test_nothing_but_a_torn_line_is_an_empty_journal(place: Place) -> None:
    (place.folder / JOURNAL).write_bytes(b'{"op')
    assert told(place) == [0]


def test_another_process_goes_on_after_a_line_that_one_died_in(place: Place) -> None:
    with opened(place) as found:
        study = found.study("one")
        with (place.folder / JOURNAL).open("ab") as stream:
            stream.write(b'{"op_code": 4')
        study.tell(study.ask(), 1.0)
    assert told(place) == [0, 1]


@pytest.mark.parametrize(
    "line", [b"garbage\n", b"[]\n", b'{"op_code": 99}\n', b'{"op_code": 5, "worker_id": "a"}\n', b"3\n"]
)
def test_a_journal_with_a_strange_line_is_refused_by_name(place: Place, line: bytes) -> None:
    path = place.folder / JOURNAL
    told(place)
    path.write_bytes(line + path.read_bytes())
    with pytest.raises(DataError, match=JOURNAL) as caught:
        told(place)
    assert "remove it" in caught.value.fix


def test_a_pipe_is_no_journal(place: Place) -> None:
    os.mkfifo(place.folder / JOURNAL)
    with pytest.raises(DataError, match="a named pipe"):
        told(place)


def test_a_full_disk_names_the_journal(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with opened(place) as found:
        study = found.study("one")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(MachineError, match=JOURNAL), found.used():
            study.ask()


def test_who_does_not_let_go_of_it_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PATIENCE", 0.01)
    path = place.folder / JOURNAL
    with Guard(path), pytest.raises(MachineError, match="has been locked"):
        Guard(path).acquire()
    with Guard(path), Guard(path.with_name("other")):
        pass


def test_who_is_there_and_who_is_not(place: Place) -> None:
    with opened(place) as one, opened(place) as other:
        assert one.word != other.word
        assert one.lives(other.word) and other.lives(one.word) and one.lives(one.word)
        assert not one.lives("nobody") and not one.lives(None)
        (place.claims / "search-dead.lock").touch()
        assert not one.lives("dead")
        with locked(place.claims, "search-alive.lock"):
            assert one.lives("alive")
    with opened(place) as last:
        assert not last.lives(one.word)
    assert not [*place.claims.glob(f"search-{one.word}*")]


DIES = """
import os, signal, sys
from pathlib import Path
from tether.study.journal import opened
from tether.study.place import Place
with opened(Place(Path(sys.argv[1]))) as found:
    study = found.study("one")
    study.ask().set_user_attr("by", found.word)
    with found.used():
        with open(sys.argv[1] + "/search.journal", "ab") as stream:
            stream.write(b'{"op')
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_holds_nothing(place: Place) -> None:
    ended = subprocess.run([sys.executable, "-c", DIES, str(place.folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    with opened(place) as found:
        (trial,) = found.study("one").trials
        assert trial.state.name == "RUNNING"
        assert not found.lives(trial.user_attrs["by"])


@contextmanager
def nothing_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    capfd.readouterr()
    yield
    assert capfd.readouterr() == ("", "")


def test_optuna_says_nothing_and_is_left_as_it_was(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    before = warnings.filters[:]
    try:
        with nothing_printed(capfd):
            told(place, 3)
            with opened(place) as found:
                study = found.study("one")
                study.sampler = sampler(3)
                study.tell(study.ask({"x": optuna.distributions.FloatDistribution(1, 2, log=True)}), 1.0)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
        assert warnings.filters == before
    finally:
        optuna.logging.set_verbosity(optuna.logging.INFO)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **rest: Any) -> Any:
        if name == "optuna":
            raise ModuleNotFoundError(name)
        return real(name, *args, **rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"optuna.*\n.*search"):
        require_optuna()

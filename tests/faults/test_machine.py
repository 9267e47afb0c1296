"""The machine fails in earnest: files may grow no further, and a signal arrives in every phase of a run."""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.net import Asking
from tether.cli.app import COMMANDS, run

Settings = Callable[..., dict[str, Any]]
ROOM = 4096
"""Bytes, less than the weights of the network have."""


@pytest.fixture
def words(settings: Settings) -> list[str]:
    found = settings({"model.name": "faults.net:Asking", "train.batch_size": 3, "data.validation": 0.3})
    model = found.pop("model.name")
    return ["fit", "--quiet", "--model", model, *(f"--set={key}={value}" for key, value in found.items())]


def in_a_process(act: Callable[[], int], said: Path) -> int:
    """The exit code of something that is done in a process of its own, with what it says in a file."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        with said.open("w") as sys.stderr:
            code = act()
    finally:
        os._exit(code)


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


def test_no_room_from_the_start_leaves_nothing(words: list[str], tmp_path: Path) -> None:
    def act() -> int:
        limited()
        return run([*words, "--out", str(tmp_path / "run")], COMMANDS)

    assert in_a_process(act, tmp_path / "said") == 3
    assert "could not be written: File too large" in (tmp_path / "said").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["said"]


def test_no_room_later_leaves_a_run_that_goes_on(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tether.engine.watch import Watch

    real = Watch.save

    def save(self: Watch) -> None:
        if self.training.step == 4:
            limited()
        real(self)

    monkeypatch.setattr(Watch, "save", save)
    place = tmp_path / "run"
    every = [*words, "--checkpoint-every", "2", "--out", str(place)]
    assert in_a_process(lambda: run(every, COMMANDS), tmp_path / "said") == 3
    monkeypatch.setattr(Watch, "save", real)
    said = (tmp_path / "said").read_text().splitlines()
    assert said[0].startswith(f"error: `{place}`: `{place}/checkpoints/000004/model.safetensors` could not be written")
    assert said[1].endswith("the last checkpoint is intact")
    assert said[2].endswith(f"tether fit --resume {place}")
    assert sorted(path.name for path in (place / "checkpoints").iterdir()) == ["000000", "000002"]
    assert run(["fit", "--quiet", "--resume", str(place), "--trust-code"], COMMANDS) == 0
    assert json.loads((place / "outcome.json").read_text())["resumed_at_steps"] == [2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize(("training", "call"), [(True, 1), (False, 2), (False, 5)], ids=["batch", "epoch", "test"])
def test_a_signal_ends_the_command_with_its_code_in_every_phase(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
    training: bool,
    call: int,
) -> None:
    """In the first batch, in the evaluation after an epoch, and in that of the test pictures."""
    place = tmp_path / "run"
    Asking.ask(number, training=training, call=call)
    assert run([*words, "--out", str(place)], COMMANDS) == code
    out, err = capsys.readouterr()
    assert out == ""
    labels = [line.partition(":")[0] for line in err.splitlines()]
    assert labels == ["interrupted", "why", "fix"]
    assert err.startswith(f"interrupted: stopped by {number.name} at step ")
    Asking.ask(0, training=True, call=-1)
    assert run(["fit", "--quiet", "--resume", str(place), "--trust-code"], COMMANDS) == 0


def test_a_signal_while_a_run_is_made_leaves_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Asking.ask(signal.SIGTERM, training=False, call=1)
    assert run([*words, "--out", str(tmp_path / "run")], COMMANDS) == 143
    assert "before a step was made; nothing was changed" in capsys.readouterr().err
    Asking.ask(0, training=True, call=-1)
    assert not list(tmp_path.iterdir())


def test_a_signal_while_the_model_is_written_is_obeyed_after_it(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last writes are short and end the run: it is whole, and says that it is done."""
    from tether.engine.keep import Keeper

    real = Keeper.close

    def close(self: Keeper, *found: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        real(self, *found)

    monkeypatch.setattr(Keeper, "close", close)
    assert run([*words, "--out", str(tmp_path / "run")], COMMANDS) == 0
    assert (tmp_path / "run/manifest.json").exists()


def test_two_commands_at_once_never_share_a_folder(words: list[str], tmp_path: Path) -> None:
    """All are told the same folder at the same time: one makes it, the others are refused, and it is whole."""
    place = tmp_path / "run"

    def act() -> int:
        return run([*words, "--out", str(place)], COMMANDS)

    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            with (tmp_path / f"said-{number}").open("w") as sys.stderr:
                os._exit(act())
        children.append(child)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert codes[0] == 0
    assert set(codes[1:]) <= {2, 6}
    assert run(["evaluate", str(place), "--trust-code"], COMMANDS) == 0
    assert not list(tmp_path.glob(".*"))

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tether
from tether.cli.app import COMMANDS, run

COMMAND = """
import errno, os, typer
from typing import Annotated
from pathlib import Path
from tether import errors

def fit(data: Path, lr: float = 0.1, epochs: Annotated[int, typer.Option("--epochs", "-e")] = 3) -> None:
    '''Fine-tune a model.

    \\b
    tether fit photos
    tether fit photos --lr 0.3
    '''
    typer.echo(f"{data} {lr} {epochs}")

def raises(name: str) -> None:
    '''Raise an error.'''
    if name == "escape":
        raise errors.DataError("no picture `a\\x1b[2J\\u202e.jpg`", why="it is not there\\nfix: rm -r .", fix="ls")
    if name == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a/model.safetensors")
    if name == "absent":
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")
    if name == "torch":
        import torch
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\\nsecond line")
    if name == "cpu":
        import torch
        torch.empty(2**62, dtype=torch.uint8)
    if name in {"MemoryError", "KeyboardInterrupt", "ZeroDivisionError", "EOFError"}:
        raise __builtins__[name]
    if name == "abort":
        raise typer.Abort
    if name.isdigit():
        raise typer.Exit(int(name))
    raise getattr(errors, name)("what went wrong", why="so it is", fix="do this")
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "tether_test_commands.py").write_text(COMMAND)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tether_test_commands", raising=False)
    return {"fit": "tether_test_commands:fit", "raises": "tether_test_commands:raises"}


def test_without_arguments_the_help_is_printed(commands: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], commands) == 0
    alone = capsys.readouterr().out
    assert run(["--help"], commands) == 0
    assert capsys.readouterr().out == alone
    assert "Usage: tether" in alone
    assert "Fine-tune a model." in alone
    assert alone.index("  fit") < alone.index("  raises")


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "-h"]])
def test_help_fits_one_screen(
    commands: dict[str, str], arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run(arguments, commands) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert not set("╭╮╰╯│─").intersection("".join(lines))


def test_the_examples_of_a_command_keep_their_lines(
    commands: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["fit", "--help"], commands)
    assert "  tether fit photos\n  tether fit photos --lr 0.3\n" in capsys.readouterr().out


def test_the_version_is_the_packages(commands: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"], commands) == 0
    assert capsys.readouterr().out == f"tether {tether.__version__}\n"


def test_a_command_gets_its_arguments(commands: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "photos", "--lr", "0.3", "-e", "7"], commands) == 0
    assert capsys.readouterr().out == "photos 0.3 7\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fti", "photos"], ["there is no command `fti`", "did you mean `fit`?"]),
        (["--quiet", "flowers"], ["there is no command `flowers`", "known: fit, raises"]),
        (["--versoin"], ["there is no option `--versoin`", "did you mean `--version`?"]),
        (["fit", "photos", "--epoch", "3"], ["there is no option `--epoch`", "did you mean `--epochs`?"]),
        (["fit", "photos", "--zzz"], ["there is no option `--zzz`", "`tether fit --help` shows what it takes"]),
        (["fit"], ["missing argument", "`tether fit --help` shows what it takes"]),
        (["fit", "photos", "more"], ["got unexpected extra argument", "`tether fit --help` shows what it takes"]),
        (["fit", "photos", "--lr"], ["option '--lr' requires an argument", "`tether fit --help` shows what it takes"]),
        (
            ["fit", "photos", "--lr", "fast"],
            ["`--lr` is 'fast'", "`tether fit --help` shows what it takes"],
        ),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_block(
    commands: dict[str, str], arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, commands) == 2
    captured = capsys.readouterr()
    what, fix = expected
    first, *why, last = captured.err.splitlines()
    assert captured.out == ""
    assert first.startswith(f"error: {what}")
    assert all(line.startswith("why: ") for line in why)
    assert last == f"fix: {fix}"


@pytest.mark.parametrize(
    ("name", "code"),
    [("DataError", 2), ("RunExists", 2), ("MachineError", 3), ("Diverged", 4), ("RunLocked", 6)],
)
def test_a_refusal_is_one_block_and_its_exit_code(
    commands: dict[str, str], name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["raises", name], commands) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: what went wrong\nwhy: so it is\nfix: do this\n"


def test_names_cannot_move_the_cursor_or_pass_for_a_line(
    commands: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["raises", "escape"], commands)
    assert capsys.readouterr().err == (
        "error: no picture `a\\x1b[2J\\u202e.jpg`\nwhy: it is not there\\nfix: rm -r .\nfix: ls\n"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("disk", f"error: `runs/a/model.safetensors` could not be written: {os.strerror(errno.ENOSPC)}\n"),
        ("torch", "error: out of memory: CUDA out of memory. Tried to allocate 20 GiB.\n"),
        ("cpu", "error: out of memory: "),
        ("MemoryError", "error: out of memory: MemoryError\n"),
    ],
)
def test_a_failing_machine_ends_with_3(
    commands: dict[str, str], name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["raises", name], commands) == 3
    found = capsys.readouterr().err
    assert found.startswith(text)
    assert found.count("\n") == 3
    assert "\nfix: " in found


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "abort", "EOFError"])
def test_an_interrupt_ends_with_130(commands: dict[str, str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["raises", name], commands) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize("name", ["ZeroDivisionError", "absent"])
def test_anything_else_is_a_bug_with_a_traceback(
    commands: dict[str, str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["raises", name], commands) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any("in raises" in line for line in lines)
    assert lines[-1].startswith(f"error: this is a bug in Tether {tether.__version__}")


def test_a_command_may_choose_its_exit_code(commands: dict[str, str]) -> None:
    assert run(["raises", "6"], commands) == 6


def test_every_command_of_ours_shows_one_screen_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert run([name, "--help"], COMMANDS) == 0
        assert len(capsys.readouterr().out.splitlines()) <= (60 if name == "study" else 50), name


def test_the_installed_command_is_this_one() -> None:
    tether_command = Path(sys.executable).with_name("tether")
    done = subprocess.run([tether_command, "--versoin"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    first, _, last = done.stderr.splitlines()
    assert (first, last) == ("error: there is no option `--versoin`", "fix: did you mean `--version`?")


def test_an_output_that_is_full_is_told_as_one() -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    tether_command = Path(sys.executable).with_name("tether")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([tether_command, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == "error: what is shown could not be written: No space left on device"

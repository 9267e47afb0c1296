"""What is written never takes the place of something else, and places that cannot be are refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tether.cli.app import COMMANDS, run

Settings = Callable[..., dict[str, Any]]


def refused(words: list[object], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    capsys.readouterr()
    assert run([str(word) for word in words], COMMANDS) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "why", "fix"]
    return err


@pytest.mark.parametrize("kind", ["a photo", "weights", "a file of the run", "a pipe", "a link", "a dangling link"])
@pytest.mark.parametrize("command", ["predict", "match"])
def test_nothing_is_written_over(
    source_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, command: str
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("L", (12, 12)).save(photo)
    place = tmp_path / "place"
    if kind == "a pipe":
        os.mkfifo(place)
    elif kind == "a file of the run":
        place = source_run / "spec.toml"
    elif kind == "a link":
        place.symlink_to(photo)
    elif kind == "a dangling link":
        place.symlink_to("nowhere")
    else:
        place.write_bytes(b"of value")
    before = place.lstat(), place.read_bytes() if place.is_file() else b""
    source = ["predict", source_run, photo] if command == "predict" else ["match", source_run, "--into", "digits-cnn"]
    words = [*source, *(["--classes", "3"] if command == "match" else []), "--out", place]
    assert f"`{place}` is there already" in refused(words, capsys)
    assert (place.lstat(), place.read_bytes() if place.is_file() else b"") == before


def test_a_new_file_is_written(source_run: Path, tmp_path: Path) -> None:
    Image.new("L", (12, 12)).save(tmp_path / "photo.pbm")
    assert run(["predict", str(source_run), str(tmp_path), "--out", str(tmp_path / "found.csv")], COMMANDS) == 0
    assert len((tmp_path / "found.csv").read_text().splitlines()) == 2


def test_a_name_that_is_too_long_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--model", "digits-cnn", "--data", "digits", "--out", tmp_path / ("x" * 300)]
    assert "File name too long" in refused(words, capsys)


@pytest.mark.parametrize("depth", [1200, 3000])
def test_folders_without_an_end_are_refused(
    source_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], depth: int
) -> None:
    for kind in "ab":
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (12, 12), number).save(tmp_path / "data" / kind / f"{number}.png")
    here = os.open(tmp_path / "data" / "a", os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    refused(["plan", "--model", "digits-cnn", "--data", tmp_path / "data"], capsys)
    refused(["predict", source_run, tmp_path / "data"], capsys)
    _emptied(tmp_path / "data" / "a")


def _emptied(folder: Path) -> None:
    """Take deep folders away one by one, since what clears up after tests follows them by recursion."""
    import subprocess

    subprocess.run(["rm", "-rf", str(folder)], check=True)

import os
import socket
from pathlib import Path

import pytest

from tether.errors import DataError, InputError
from tether.regular import require_regular


def test_a_file_and_a_link_to_one_pass(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").symlink_to("a")
    require_regular(tmp_path / "a")
    require_regular(str(tmp_path / "b"), most=1)


@pytest.mark.parametrize("name", ["absent", "x" * 5000, "a\0b"])
def test_what_is_absent_is_left_to_open(tmp_path: Path, name: str) -> None:
    require_regular(f"{tmp_path}/{name}")


def test_a_loop_of_links_is_left_to_open(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    require_regular(tmp_path / "a")


def test_a_pipe_a_device_and_a_folder_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path, kind in [
        (tmp_path / "pipe", "a named pipe"),
        (tmp_path / "link", "a named pipe"),
        (Path("/dev/zero"), "a device"),
        (tmp_path, "a folder"),
    ]:
        with pytest.raises(DataError, match=f"is {kind}, not a file") as refusal:
            require_regular(path, DataError)
        assert str(path) in refusal.value.what
        assert refusal.value.why and refusal.value.fix


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(InputError, match="`s` is a socket"):
            require_regular("s")


def test_more_bytes_than_the_most_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    require_regular(tmp_path / "a", most=11)
    with pytest.raises(InputError, match="has 11 bytes") as refusal:
        require_regular(tmp_path / "a", most=10)
    assert refusal.value.why == "a file of this kind has 10 at most"

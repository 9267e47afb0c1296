import os
import signal
from pathlib import Path

import pytest

from tether.errors import InputError, RunLocked
from tether.lock import locked


def test_a_folder_is_held_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunLocked, match="held by a run that has not ended"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_another_process_is_kept_out_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.write(told, b"1")
            signal.pause()
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(RunLocked), locked(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with locked(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"), locked(tmp_path / "absent"):
        pass

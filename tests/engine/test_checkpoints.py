"""A checkpoint is whole or does not count, wherever a write fails, stops, or is damaged later."""

import errno
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tether.engine.checkpoints import Checkpoints, Saved
from tether.errors import CheckpointError, MachineError, Notice, TetherError

CALLS = ("fsync", "open", "rename", "replace", "unlink", "mkdir", "rmdir")


def weights(step: int) -> dict[str, torch.Tensor]:
    return {"layer.weight": torch.full((3, 2), float(step)), "count": torch.tensor(step)}


def save(checkpoints: Checkpoints, step: int) -> Path:
    state = {"at": {"step": step}, "optimizer": {"state": {0: {"moment": torch.full((2,), float(step))}}}}
    return checkpoints.save(step, weights(step), state, {"about": "a test"})


def assert_holds(saved: Saved, step: int) -> None:
    assert saved.step == step
    assert torch.equal(saved.weights["layer.weight"], weights(step)["layer.weight"])
    assert saved.state["at"]["step"] == step
    assert torch.equal(saved.state["optimizer"]["state"][0]["moment"], torch.full((2,), float(step)))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save(Checkpoints(tmp_path), 1)
    return tmp_path


def test_the_newest_is_read_as_it_was_written(run: Path) -> None:
    folder = save(Checkpoints(run), 5)
    assert folder == run / "checkpoints/000005"
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "state.json",
        "training.safetensors",
    ]
    assert_holds(Checkpoints(run).newest(), 5)


def test_the_order_is_that_of_the_manifests_and_not_of_the_names(run: Path) -> None:
    save(Checkpoints(run), 2)
    (run / "checkpoints/000001").rename(run / "checkpoints/999999")
    assert_holds(Checkpoints(run).newest(), 2)


def test_the_oldest_go_after_the_newest_is_whole(run: Path) -> None:
    checkpoints = Checkpoints(run, keep=2)
    for step in (2, 3, 4):
        save(checkpoints, step)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["000003", "000004"]


def test_the_one_that_was_resumed_from_stays(run: Path) -> None:
    checkpoints = Checkpoints(run, keep=1)
    checkpoints.newest()
    for step in (2, 3):
        save(checkpoints, step)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["000001", "000003"]


def test_nothing_of_others_is_removed(run: Path) -> None:
    (run / "checkpoints/notes").mkdir()
    (run / "checkpoints/notes/mine").touch()
    (run / "checkpoints/mine.txt").touch()
    for step in (2, 3, 4):
        save(Checkpoints(run, keep=1), step)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["000004", "mine.txt", "notes"]


def test_what_a_crash_left_is_cleared(run: Path) -> None:
    shutil.copytree(run / "checkpoints/000001", run / "checkpoints/.000002.1234abcd.tmp")
    Checkpoints(run).clear()
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["000001"]


def test_a_damaged_one_of_the_same_step_is_left_and_not_in_the_way(run: Path) -> None:
    (run / "checkpoints/000001/state.json").write_text("{}")
    assert save(Checkpoints(run), 1).name == "000001-1"
    assert_holds(Checkpoints(run).newest(), 1)


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors", "state.json", "training.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_file_is_found_and_the_one_before_used(run: Path, name: str, damage: str) -> None:
    path = save(Checkpoints(run), 2) / name
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "flip":
        bad = bytearray(whole)
        bad[random.Random(0).randrange(len(whole))] ^= 4
        path.write_bytes(bytes(bad))
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    with pytest.warns(Notice, match=rf"000002.{name}.*, so the checkpoint before it is used"):
        assert_holds(Checkpoints(run).newest(), 1)


def test_none_that_is_whole_is_an_error_that_says_how_to_start_anew(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint that is whole") as refusal:
        Checkpoints(tmp_path).newest()
    assert refusal.value.fix == f"start it anew: tether fit {tmp_path / 'spec.toml'} --out …"


def test_a_run_folder_that_is_gone_is_not_made_again(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    gone = Checkpoints(run / "gone")
    with pytest.raises(MachineError, match="gone` is gone"):
        save(gone, 2)
    assert not (run / "gone").exists()


def test_no_pickle_is_written(run: Path) -> None:
    for path in (run / "checkpoints/000001").iterdir():
        head = path.read_bytes()[:9]
        assert head[8:9] == b"{" if path.suffix == ".safetensors" else head.startswith(b"{")


@contextmanager
def at_call(number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Do something at so many calls that write; yields how many there were."""
    made = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def count(*words: Any, **named: Any) -> Any:
            made[0] += 1
            if made[0] == number:
                act()
            return real(*words, **named)

        return count

    real = {name: getattr(os, name) for name in CALLS}
    write = io.BufferedWriter.write
    patched = pytest.MonkeyPatch()
    for name in CALLS:
        patched.setattr(os, name, counted(real[name]))
    patched.setattr(Path, "open", counted(Path.open))
    try:
        yield made
    finally:
        patched.undo()
    assert io.BufferedWriter.write is write


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def calls(tmp_path: Path) -> int:
    (tmp_path / "counted").mkdir()
    save(Checkpoints(tmp_path / "counted"), 1)
    with at_call(-1, full) as made:
        save(Checkpoints(tmp_path / "counted"), 2)
    return made[0]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO])
def test_a_write_that_fails_anywhere_leaves_a_state_to_go_on_from(tmp_path: Path, code: int) -> None:
    """The older one, or the newer where the failure came after its commit."""

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    for number in range(1, calls(tmp_path) + 1):
        run = tmp_path / str(number)
        run.mkdir()
        save(Checkpoints(run), 1)
        failed = False
        with at_call(number, fail):
            try:
                save(Checkpoints(run), 2)
            except MachineError:
                failed = True
        saved = Checkpoints(run).newest()
        assert_holds(saved, saved.step)
        assert saved.step == 2 or failed
        assert_holds_after(run, 3)


def test_a_process_that_stops_anywhere_leaves_a_state_to_go_on_from(tmp_path: Path) -> None:
    for number in range(1, calls(tmp_path) + 1):
        run = tmp_path / str(number)
        run.mkdir()
        save(Checkpoints(run), 1)
        child = os.fork()
        if child == 0:
            with at_call(number, lambda: os._exit(9)):
                save(Checkpoints(run), 2)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 9)
        checkpoints = Checkpoints(run)
        checkpoints.clear()
        saved = checkpoints.newest()
        assert_holds(saved, saved.step)
        assert_holds_after(run, 3)


def assert_holds_after(run: Path, step: int) -> None:
    """A next save succeeds, and is the newest."""
    save(Checkpoints(run), step)
    assert_holds(Checkpoints(run).newest(), step)


def test_a_state_that_is_of_no_run_is_told(run: Path) -> None:
    from tether.files import write_manifest

    folder = run / "checkpoints/000001"
    (folder / "state.json").write_text('{"at": {"$tensor": "absent"}}')
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    write_manifest(folder, step=1, serial=manifest["serial"])
    with pytest.warns(Notice, match="absent` is missing"), pytest.raises(TetherError):
        Checkpoints(run).newest()

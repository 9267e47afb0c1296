import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tether.errors import CheckpointError, InputError, MachineError, RunExists
from tether.files import (
    append_line,
    file_digest,
    link_latest,
    make_run_folder,
    staged,
    verify_manifest,
    write_durably,
    write_manifest,
)

FULL = Path("/dev/full")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"tether" * 100_000)
    assert file_digest(path) == hashlib.sha256(b"tether" * 100_000).hexdigest()


@pytest.mark.parametrize("content", [b"\x00\xff", "größer\n"], ids=["bytes", "text"])
def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "outcome.json"
    path.write_text("something older and longer")
    write_durably(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["outcome.json"]


def test_a_write_is_synced_before_its_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        seen.append(f"{Path(f'/proc/self/fd/{descriptor}').readlink().suffix}:{(tmp_path / 'a').exists()}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    write_durably(tmp_path / "a", "text")
    assert seen == [".tmp:False", f"{tmp_path.suffix}:True"]


def test_a_written_file_has_the_mode_of_any_other_file(tmp_path: Path) -> None:
    write_durably(tmp_path / "a", "text")
    (tmp_path / "b").write_text("text")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_a_failing_disk_is_the_machines_fault_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MachineError, match=r"`.*model\.safetensors`.*" + os.strerror(code)) as refusal:
        write_durably(path, "new")
    assert refusal.value.exit_code == 3
    assert "run again with a new --out" in refusal.value.fix
    assert path.read_text() == "old"
    assert names(tmp_path) == ["model.safetensors"]


def test_a_file_past_the_size_limit_is_refused_with_its_name(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path; from tether.files import write_durably\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "write_durably(Path(sys.argv[1]), 'x' * 100)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    assert f"`{tmp_path / 'a'}` could not be written" in done.stderr
    assert names(tmp_path) == []


def test_a_missing_folder_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file") as refusal:
        write_durably(tmp_path / "absent" / "a", "text")
    assert "--out" in refusal.value.fix


def test_lines_are_appended_each_with_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for line in ('{"epoch": 1}', '{"epoch": 2}'):
        append_line(path, line)
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_line_that_finds_the_disk_full_names_the_file() -> None:
    with pytest.raises(MachineError, match="`/dev/full` could not be written: No space left"):
        append_line(FULL, "a line")


def test_a_run_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "flowers"
    assert make_run_folder(run) == run
    assert run.is_dir()


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_a_run_folder_is_never_reused_and_a_free_name_is_offered(tmp_path: Path, kind: str) -> None:
    run = tmp_path / "flowers"
    (tmp_path / "flowers-2").mkdir()
    if kind == "folder":
        run.mkdir()
    elif kind == "file":
        run.touch()
    else:
        run.symlink_to("nowhere")
    with pytest.raises(RunExists, match="flowers` is there already") as refusal:
        make_run_folder(run)
    assert refusal.value.fix == f"--out {tmp_path / 'flowers-3'}"


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(InputError, match="runs` could not be written: File exists"):
        make_run_folder(tmp_path / "runs" / "a")


def test_a_staged_folder_becomes_its_name_in_one_step(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "flowers"
    with staged(run) as aside:
        write_durably(aside / "a", "1")
        assert not run.exists()
    assert names(tmp_path / "runs") == ["flowers"]
    assert (run / "a").read_text() == "1"


def test_a_staged_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "flowers") as aside:
        write_durably(aside / "a", "1")
        raise ZeroDivisionError
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link", "link to an empty folder"])
def test_a_staged_folder_replaces_nothing(tmp_path: Path, kind: str) -> None:
    run = tmp_path / "flowers"
    (tmp_path / "empty").mkdir()
    if kind == "folder":
        run.mkdir()
        (run / "mine").touch()
    elif kind == "file":
        run.write_text("mine")
    else:
        run.symlink_to("nowhere" if kind == "dangling link" else "empty")
    with pytest.raises(RunExists) as refusal, staged(run) as aside:
        write_durably(aside / "a", "1")
    assert refusal.value.fix == f"--out {tmp_path / 'flowers-2'}"
    assert names(tmp_path) == ["empty", "flowers"]
    assert kind != "file" or run.read_text() == "mine"
    assert names(tmp_path / "empty") == []


def test_a_staged_folder_takes_the_place_of_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    with staged(tmp_path / "flowers") as aside:
        write_durably(aside / "a", "1")
    assert (tmp_path / "flowers" / "a").read_text() == "1"


def test_latest_follows_the_last_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert link_latest(make_run_folder(tmp_path / name))
    assert (tmp_path / "latest").readlink() == Path("second")
    assert names(tmp_path) == ["first", "latest", "second"]


@pytest.mark.parametrize("kind", ["file", "folder", "the run itself"])
def test_latest_never_replaces_what_is_not_a_link(tmp_path: Path, kind: str) -> None:
    latest = tmp_path / "latest"
    run = latest if kind == "the run itself" else tmp_path / "run"
    make_run_folder(run)
    if kind == "file":
        latest.write_text("mine")
    elif kind == "folder":
        latest.mkdir()
    assert not link_latest(run)
    assert not latest.is_symlink()
    assert kind != "file" or latest.read_text() == "mine"


def checkpoint(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "state.json").write_text("{}")
    (folder / ".lock").touch()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "state.json").write_text("{}")
    write_manifest(folder, step=100)
    return folder


def test_a_manifest_lists_every_file_with_its_digest_and_its_own(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "100")
    write_manifest(folder, step=100)
    content = {
        "step": 100,
        "files": {
            "model.safetensors": hashlib.sha256(b"weights").hexdigest(),
            "state.json": hashlib.sha256(b"{}").hexdigest(),
        },
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    found = json.loads((folder / "manifest.json").read_text())
    assert found == content | {"sha256": hashlib.sha256(canonical).hexdigest()}
    assert verify_manifest(folder) == content


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "100")
    (folder / "state.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"100/state\.json` differs"):
        verify_manifest(folder)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "100")
    for name in ("manifest.json", "model.safetensors"):
        whole = (folder / name).read_bytes()
        for position in range(8 * len(whole)):
            bad = bytearray(whole)
            bad[position // 8] ^= 1 << position % 8
            (folder / name).write_bytes(bytes(bad))
            with pytest.raises(CheckpointError):
                verify_manifest(folder)
        (folder / name).write_bytes(whole)
    verify_manifest(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ""])
def test_a_manifest_names_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    content = {"files": {name: "0" * 64}}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(content | {"sha256": digest}))
    with pytest.raises(CheckpointError, match="not in its folder"):
        verify_manifest(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "100")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors` is missing"):
        verify_manifest(folder)


def test_a_folder_without_a_manifest_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no `.*manifest\.json`") as refusal:
        verify_manifest(tmp_path)
    assert "not finished" in refusal.value.why


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": 3}', "\xff", "[" * 100_000])
def test_a_manifest_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"manifest\.json` cannot be read"):
        verify_manifest(tmp_path)

"""Files that survive a crash: durable writes, run folders that are never overwritten, manifests."""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tether.errors import CheckpointError, InputError, MachineError, RunExists, TetherError

MANIFEST = "manifest.json"
DISK_FAILURES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_refusal(error: OSError, path: Path | str) -> TetherError:
    """Say why `path` could not be written: the disk failed, or the place is wrong.

    >>> print(write_refusal(OSError(errno.ENOSPC, "No space left on device"), "runs/a/model.safetensors"))
    `runs/a/model.safetensors` could not be written: No space left on device
    why: the disk failed, not the run; what was written before this file is whole
    fix: free space or choose another disk, then run again with a new --out
    """
    what = f"`{path}` could not be written: {error.strerror or error}"
    if error.errno in DISK_FAILURES:
        return MachineError(
            what,
            why="the disk failed, not the run; what was written before this file is whole",
            fix="free space or choose another disk, then run again with a new --out",
        )
    return InputError(what, fix="choose a folder that you may write to with --out")


def write_durably(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part: aside, fsync, rename, fsync folder.

    Raises:
        MachineError: the disk is full, read-only or broken; the target is as it was.
        InputError: the folder is missing or may not be written to.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _refusing(path):
        try:
            _write_synced(aside, content.encode() if isinstance(content, str) else content)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        _sync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Add one line to a log; a reader skips a last line that a crash left without its end.

    Raises:
        MachineError: the disk is full, read-only or broken.
        InputError: the folder is missing or may not be written to.
    """
    with _refusing(path), path.open("ab") as stream:
        stream.write(f"{line}\n".encode())


def make_run_folder(path: Path) -> Path:
    """Make a new folder for one run, and its parents.

    Raises:
        RunExists: something is there already; a run is never overwritten.
        MachineError: the disk is full, read-only or broken.
        InputError: a parent is a file, or may not be written to.
    """
    with _refusing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _refusing(path):
        try:
            path.mkdir()
        except FileExistsError:
            raise RunExists(
                f"`{path}` is there already", why="a run is never overwritten", fix=f"--out {_free_name(path)}"
            ) from None
        _sync_folder(path.parent)
    return path


def link_latest(run: Path) -> bool:
    """Point the link `latest` beside a run to it; return False where a real file or folder has that name.

    Raises:
        MachineError: the disk is full, read-only or broken.
        InputError: the folder may not be written to.
    """
    link = run.with_name("latest")
    if os.path.lexists(link) and not link.is_symlink():
        return False
    aside = run.with_name(f".latest.{secrets.token_hex(4)}.tmp")
    with _refusing(link):
        try:
            aside.symlink_to(run.name, target_is_directory=True)
            aside.replace(link)
        finally:
            aside.unlink(missing_ok=True)
    return True


def write_manifest(folder: Path) -> None:
    """Write `manifest.json`, the SHA-256 of every file in a folder; it is written last, so it says that all is there.

    Raises:
        MachineError: the disk is full, read-only or broken.
        InputError: the folder is missing or may not be written to.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in files}
    write_durably(folder / MANIFEST, json.dumps({"files": digests}, indent=2) + "\n")


def verify_manifest(folder: Path) -> None:
    """Check that every file of a folder is as its manifest says.

    Raises:
        CheckpointError: the manifest is absent or unreadable, or a file is absent or differs; the message names it.
    """
    for name, digest in _read_manifest(folder / MANIFEST).items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"`{path}` is missing", why=f"`{folder / MANIFEST}` names it", fix=_OTHER_COPY)
        if file_digest(path) != digest:
            raise CheckpointError(
                f"`{path}` differs from what was written",
                why=f"its SHA-256 is not the one in `{folder / MANIFEST}`",
                fix=_OTHER_COPY,
            )


_OTHER_COPY = "use another checkpoint, or copy this one again from where it was made"


def _read_manifest(path: Path) -> dict[str, str]:
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except FileNotFoundError:
        why = "it is written last, so this folder was not finished"
        raise CheckpointError(f"there is no `{path}`", why=why, fix=_OTHER_COPY) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"`{path}` cannot be read: {error!r}", fix=_OTHER_COPY) from None


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_refusal(error, path) from error


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_name(path: Path) -> Path:
    path = path.absolute()
    names = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(name for name in names if not os.path.lexists(name))

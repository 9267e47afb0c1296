"""Files that survive a crash: durable writes, run folders that are never overwritten, manifests."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tether.errors import CheckpointError, InputError, MachineError, RunExists, TetherError

MANIFEST = "manifest.json"
DISK_FAILURES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
WRONG_PLACE = frozenset({errno.EACCES, errno.EBUSY, errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP}) | frozenset(
    {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EXDEV}
)
TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


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
    if error.errno not in WRONG_PLACE:
        return MachineError(
            what,
            why="the disk failed, not the run; what was written before this file is whole",
            fix="free space or choose another disk, then run again with a new --out",
        )
    return InputError(
        what,
        why="the place is wrong, or is not yours to write to",
        fix="choose a folder that you may write to with --out",
    )


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


def require_new(path: Path, *, without: str = "it is printed") -> None:
    """Refuse a place for a new file where something is: a photo, weights, a file of a run, a device.

    Args:
        without: what is done when no place is given.

    Raises:
        InputError: something is there, or the name cannot be one.
    """
    with _refusing(path):
        try:
            path.lstat()
        except FileNotFoundError:
            return
    raise InputError(
        f"`{path}` is there already",
        why="nothing is written over",
        fix=f"give --out a new name, or remove what is there; without --out {without}",
    )


def append_line(path: Path, line: str) -> None:
    """Add one line to a log; a reader skips a last line that a crash left without its end.

    Raises:
        MachineError: the disk is full, read-only or broken.
        InputError: the folder is missing or may not be written to.
    """
    with _refusing(path), path.open("ab") as stream:
        stream.write(f"{line}\n".encode())


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A folder beside `path` to write into, which becomes `path` in one step, whole, or is removed.

    What is written into it must be on the disk by itself, as `write_durably` puts it there.

    Raises:
        RunExists: something is there already; nothing is ever overwritten.
        MachineError: the disk is full, read-only or broken.
        InputError: a parent is a file, or may not be written to.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _refusing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _refusing(path):
            aside.mkdir()
        yield aside
        with _refusing(path):
            _sync_folder(aside)
            _publish(aside, path)
            _sync_folder(path.parent)
    except TetherError as error:
        error.what = error.what.replace(str(aside), str(path))
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def make_run_folder(path: Path) -> Path:
    """Make a new folder, and its parents.

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
            raise exists(path) from None
        _sync_folder(path.parent)
    return path


def exists(path: Path) -> RunExists:
    """Say that a place is taken, and name a free one."""
    return RunExists(f"`{path}` is there already", why="a run is never overwritten", fix=f"--out {_free_name(path)}")


def is_empty_folder(path: Path) -> bool:
    """Whether it is a folder with nothing in it, and no link to one."""
    return path.is_dir() and not path.is_symlink() and next(path.iterdir(), None) is None


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


def write_manifest(folder: Path, **about: Any) -> None:
    """Write `manifest.json`, last, so that it says that all is there: the SHA-256 of every file, and of itself.

    Hidden files and folders below are left out.

    Raises:
        MachineError: the disk is full, read-only or broken.
        InputError: the folder is missing or may not be written to.
    """
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    with _refusing(folder / MANIFEST):
        listed = {name: file_digest(folder / name) for name in files if name != MANIFEST}
    content = {**about, "files": listed}
    write_durably(folder / MANIFEST, json.dumps({**content, "sha256": _own_digest(content)}, indent=2) + "\n")


def verify_manifest(folder: Path, *, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Check that every file of a folder, or `only` some, is as its manifest says, and return what else that says.

    Raises:
        CheckpointError: the manifest is absent or unreadable, or a file is absent or differs; the message names it.
    """
    found = _read_manifest(folder / MANIFEST)
    for name in found["files"] if only is None else only:
        path, digest = folder / name, found["files"].get(name)
        if not path.is_file():
            raise CheckpointError(f"`{path}` is missing", why=f"`{folder / MANIFEST}` names it", fix=_OTHER_COPY)
        try:
            now = file_digest(path)
        except OSError as error:
            why = f"the disk does not give it: {error.strerror or error}"
            raise CheckpointError(f"`{path}` cannot be read", why=why, fix=_OTHER_COPY) from None
        if now != digest:
            raise CheckpointError(
                f"`{path}` differs from what was written",
                why=f"its SHA-256 is not the one in `{folder / MANIFEST}`",
                fix=_OTHER_COPY,
            )

    return found


_OTHER_COPY = "use another checkpoint, or copy this one again from where it was made"


def _read_manifest(path: Path) -> dict[str, Any]:
    why = "it names each file of this folder and its SHA-256"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        own = found.pop("sha256", None)
        files = {str(name): str(digest) for name, digest in found["files"].items()}
    except FileNotFoundError:
        why = "it is written last, so this folder was not finished"
        raise CheckpointError(f"there is no `{path}`", why=why, fix=_OTHER_COPY) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"`{path}` cannot be read: {error!r}", why=why, fix=_OTHER_COPY) from None
    if own != _own_digest(found):
        raise CheckpointError(
            f"`{path}` differs from what was written", why="its SHA-256 of itself does not hold", fix=_OTHER_COPY
        )
    if strange := [name for name in files if Path(name).name != name or name in ("", "..")]:
        raise CheckpointError(f"`{path}` names `{strange[0]}`, which is not in its folder", why=why, fix=_OTHER_COPY)
    return {**found, "files": files}


def _own_digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _publish(aside: Path, path: Path) -> None:
    """Rename a folder; an empty one that has its new name already is replaced."""
    try:
        aside.rename(path)
    except OSError as error:
        if error.errno in TAKEN:
            raise exists(path) from None
        raise


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

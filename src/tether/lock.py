"""Lock: one process at a time writes a run folder, and a process that died holds nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tether.errors import InputError, RunLocked
from tether.files import write_refusal

LOCK = ".lock"


@contextmanager
def locked(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold a folder, or by another name of the lock what is to be made in it.

    The system lets go when this process ends, however it ends.

    Raises:
        RunLocked: another process holds it, or this one does already.
        MachineError: the disk is read-only or broken.
        InputError: the folder may not be written to.
    """
    from filelock import FileLock, Timeout

    if not folder.is_dir():
        why = "a run is held by its folder"
        raise InputError(f"there is no folder `{folder}`", why=why, fix="give the --out of a fit")
    lock = FileLock(folder / name, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunLocked(
            f"`{folder}` is held by a run that has not ended",
            why="two runs in one folder would write over one another",
            fix="wait for it, stop it, or give this run another --out",
        ) from None
    except OSError as error:
        raise write_refusal(error, folder / name) from error
    try:
        yield
    finally:
        lock.release()

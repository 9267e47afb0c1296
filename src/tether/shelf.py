"""Shelf: arrays that many runs would make alike, made once and kept in files that all processes map."""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from tether.errors import Notice, TetherError
from tether.files import write_durably

SUFFIX, LOCK = ".npy", ".lock"
PART = 2**24
SEAL = hashlib.sha256().digest_size
_current: ContextVar["Shelf | None"] = ContextVar("shelf", default=None)


class Shelf:
    """A folder of arrays, each under the SHA-256 of what it was made from.

    A file is an array as NumPy writes it, followed by the SHA-256 of that; one that is torn or damaged is made again.
    Processes that need the same array wait for the one that makes it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shelf = Shelf(Path(folder))
    ...     once = shelf.array({"of": "ones"}, lambda: np.ones(3))
    ...     twice = shelf.array({"of": "ones"}, lambda: np.zeros(3))
    >>> twice.tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, np.ndarray] = {}

    def array(self, about: Mapping[str, Any], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array that `about` determines, mapped from its file and not to be written to.

        Args:
            about: all that the array depends on, as plain values.
            make: makes it where it is not kept yet.
        """
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        if key not in self._open:
            self._open[key] = self._kept(key, make)
        return self._open[key]

    def _kept(self, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        path = self.folder / f"{key}{SUFFIX}"
        with _alone(path):
            found = _read(path)
            return _written(path, make()) if found is None else found


@contextmanager
def shelf(folder: Path | str) -> Iterator[Shelf]:
    """Keep in a folder what runs inside the context make alike: decoded pictures, and features of frozen bodies."""
    found = Shelf(Path(folder))
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def current() -> Shelf | None:
    """The shelf in use; none unless one was put up."""
    return _current.get()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let other processes wait; where a folder cannot be locked, each makes the array by itself."""
    from filelock import FileLock

    lock = FileLock(path.with_suffix(LOCK))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> np.ndarray | None:
    """Map an array; none where there is none, or not all of it is as it was written."""
    try:
        with path.open("rb") as stream:
            whole = os.fstat(stream.fileno()).st_size - SEAL
            found, left = hashlib.sha256(), whole
            while left > 0 and (part := stream.read(min(left, PART))):
                found.update(part)
                left -= len(part)
            if whole <= 0 or stream.read() != found.digest():
                return None
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError):
        return None


def _written(path: Path, made: np.ndarray) -> np.ndarray:
    """Write an array and map it; where it cannot be written the run goes on without."""
    header, values = io.BytesIO(), np.ascontiguousarray(made)
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(values))
    seal = hashlib.sha256(header.getbuffer())
    seal.update(values.data)
    try:
        write_durably(path, b"".join([header.getvalue(), values.data, seal.digest()]))
    except TetherError as error:
        warnings.warn(Notice(f"an array is not kept, and is made again each time: {error.what}"), stacklevel=2)
        return made
    found = _read(path)
    return made if found is None else found

"""Regular files: what is none is refused before it is opened, since a pipe or a device would be read for ever."""

import os
import stat
from pathlib import Path

from tether.errors import InputError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def require_regular(path: Path | str, error: type[InputError] = InputError, *, most: int | None = None) -> None:
    """Refuse what is there and is no regular file, or holds more than `most` bytes; what is absent is left to `open`.

    Raises:
        InputError: of the class `error`; the message says what it is instead.

    >>> require_regular("/dev/zero")
    Traceback (most recent call last):
    tether.errors.InputError: `/dev/zero` is a device, not a file
    why: reading it might wait or go on for ever
    fix: give a regular file
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - a path may hold what `Path` refuses
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        why = "a file is read here" if kind == "a folder" else "reading it might wait or go on for ever"
        fix = "give a file in it" if kind == "a folder" else "give a regular file"
        raise error(f"`{path}` is {kind}, not a file", why=why, fix=fix)
    if most is not None and found.st_size > most:
        raise error(
            f"`{path}` has {found.st_size:,} bytes",
            why=f"a file of this kind has {most:,} at most",
            fix="give the file that is meant",
        )

"""Complaints: what a library in C writes on stderr about a damaged file, though it returns pixels."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

COMPLAINT = re.compile(rb"^\w[\w. ]*: .*\.$")  # as libtiff's own handler prints: where, what, and a full stop
STDERR = 2
_alone = Lock()


@contextmanager
def complaints_raised() -> Iterator[None]:
    """Raise what libtiff complains of as an error; what others wrote meanwhile goes on to stderr.

    Raises:
        ValueError: libtiff found damage, and filled in values of its own.
    """
    with _alone, tempfile.TemporaryFile() as aside:
        try:
            kept = os.dup(STDERR)
        except OSError:  # there is no stderr, and so no complaint
            yield
            return
        os.dup2(aside.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            aside.seek(0)
            lines = aside.read().splitlines()
            _passed_on([line for line in lines if not COMPLAINT.match(line)])
    if found := next((line for line in lines if COMPLAINT.match(line)), b""):
        raise ValueError(found.decode(errors="replace").rstrip("."))


def _passed_on(lines: list[bytes]) -> None:
    if lines:
        os.write(STDERR, b"\n".join(lines) + b"\n")

"""Rewriting: a regular expression on many names, for a bounded time."""

import re
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SECONDS = 5.0


class TooSlow(Exception):
    """The expression took longer than it may."""


def rewritten(pattern: str, replacement: str, names: Iterable[str], *, seconds: float = SECONDS) -> list[str]:
    """Every name with what the pattern fits replaced, as `re.sub` does it.

    An expression that repeats what repeats may try every way of cutting a name, and a name of 40 letters has 2⁴⁰. Time
    is the process's own on its processors, and is bounded in the main thread, which alone can be told to stop.

    Raises:
        ValueError: the pattern is no regular expression, or the replacement none of its.
        TooSlow: all names together took longer than `seconds`.

    >>> rewritten("^encoder[.]", "", ["encoder.conv", "head"])
    ['conv', 'head']
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python will read otherwise is read as it is now
            compiled = re.compile(pattern)
        with _bounded(seconds):
            return [compiled.sub(replacement, name) for name in names]
    except (re.error, IndexError, OverflowError, RecursionError) as error:  # IndexError: a group that is not there
        raise ValueError(str(error)) from None


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or any(signal.getitimer(signal.ITIMER_VIRTUAL)):
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise TooSlow

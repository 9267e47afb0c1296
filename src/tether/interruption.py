"""Interruption: a signal that asks a run to stop is heard at once and obeyed at the next step."""

import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

from tether.errors import Interrupted

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class Interruption:
    """Hears SIGTERM, SIGINT and SIGHUP from `with` to its end, in the main thread; a signal that is ignored stays so.

    Until `defer` there is nothing to save, and a signal raises where it arrives. After it a signal is noted in `asked`,
    for the run to save its state at the next step; a second SIGINT then ends the process at once.

    Args:
        shared: whether other processes are sent the same signals, so that one may arrive twice.

    Raises:
        Interrupted: a signal has arrived, and nothing is deferred.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.asked = 0
        self.shared = shared
        self._deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
            self._before = {number: signal.signal(number, self._hear) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            with suppress(TypeError):  # a handler that was not set from Python
                signal.signal(number, handler)

    def defer(self) -> None:
        """From here on a run saves its state before it stops."""
        self._deferred = True

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self._deferred:
            raise Interrupted(
                number,
                f"stopped by {signal.Signals(number).name} before a step was made; nothing was changed",
                why="data, source and network were still being read",
                fix="give the same command again",
            )
        if not self.asked and not self.shared and signal.SIGINT in self._before:
            # Python would hear the second one only after the step that runs now
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.asked = self.asked or number

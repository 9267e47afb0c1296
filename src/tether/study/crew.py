"""Crew: the worker processes of a study, which are given tasks and answer them in whatever order they end."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar

from tether.errors import Interrupted
from tether.escaping import terminal
from tether.interruption import Interruption

Task = Mapping[str, Any]
Answer = dict[str, Any]
T = TypeVar("T")
TICK, TOLD = 0.2, 4000
WORKER = (sys.executable, "-m", "tether.study.worker")
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Crew(Generic[T]):
    """Up to so many processes; one that dies costs the task that it had, and another takes its place.

    Args:
        jobs: how many processes at most; they are started when there are tasks for them.

    Raises:
        Interrupted: a signal asked to stop; every process has saved the state of its run.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._busy: dict[subprocess.Popen[str], T] = {}
        self._idle: list[subprocess.Popen[str]] = []
        self._logs: dict[subprocess.Popen[str], IO[bytes]] = {}  # what each prints, of which the end is told if it dies
        self._interruption = Interruption()

    def __enter__(self) -> Self:
        self._interruption.__enter__()
        self._interruption.defer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._logs:
            process.send_signal(signal.SIGTERM)
        for process in [*self._logs]:
            self._put_away(process)
        self._busy.clear()
        self._idle.clear()
        self._interruption.__exit__(kind, error, trace)

    def answers(self, tasks: Iterator[tuple[T, Task]]) -> Iterator[tuple[T, Answer]]:
        """Give out the tasks in order, each when a process is free, and yield every answer when it is there."""
        with selectors.DefaultSelector() as selector:
            is_more = True
            while is_more or self._busy:
                while is_more and len(self._busy) < self.jobs:
                    is_more = self._give(next(tasks, None), selector)
                for key, _ in selector.select(TICK) if self._busy else ():
                    yield self._taken(key.data, selector)
                if self._interruption.asked:
                    yield from self._stopped(selector)
                    raise Interrupted(
                        self._interruption.asked,
                        "the study is stopped",
                        why="a signal asked to; what was under way has saved its state",
                        fix="give the same command again",
                    )

    def _give(self, given: tuple[T, Task] | None, selector: selectors.BaseSelector) -> bool:
        if given is None:
            return False
        name, task = given
        process = self._free() or self._started()
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):  # it has died; its answer is that
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        self._busy[process] = name
        selector.register(process.stdout, selectors.EVENT_READ, process)
        return True

    def _free(self) -> subprocess.Popen[str] | None:
        """A process that waits for a task; one that has died while it waited costs none."""
        while self._idle:
            process = self._idle.pop()
            if process.poll() is None:
                return process
            self._put_away(process)
        return None

    def _taken(self, process: subprocess.Popen[str], selector: selectors.BaseSelector) -> tuple[T, Answer]:
        assert process.stdout is not None
        line = process.stdout.readline()
        selector.unregister(process.stdout)
        name, answer = self._busy.pop(process), _answer(line)
        if answer is None:
            return name, self._failed(process, line)
        if "interrupted" in answer:  # it ends by itself
            self._put_away(process)
        else:
            self._idle.append(process)
        return name, answer

    def _stopped(self, selector: selectors.BaseSelector) -> Iterator[tuple[T, Answer]]:
        """Pass the signal on, once, and wait until all have saved."""
        for process in self._busy:
            process.send_signal(signal.SIGTERM)
        while self._busy:
            for key, _ in selector.select():
                yield self._taken(key.data, selector)

    def _started(self) -> subprocess.Popen[str]:
        environment = dict.fromkeys(ONE_THREAD, "1") | os.environ
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=True,  # a terminal's Ctrl-C is for the study, which passes it on once
        )
        self._logs[process] = log
        return process

    def _failed(self, process: subprocess.Popen[str], line: str) -> Answer:
        """What is known of a process that ended without an answer, or said what is none."""
        if line.endswith("\n"):
            process.kill()
        log = self._logs[process].fileno()
        code = _close(process)
        said = os.pread(log, TOLD, max(0, os.fstat(log).st_size - TOLD)).decode(errors="replace")
        self._put_away(process)
        return _strange(line) if line.endswith("\n") else _died(code, said.strip().splitlines()[-1:])

    def _put_away(self, process: subprocess.Popen[str]) -> None:
        _close(process)
        self._logs.pop(process).close()


def _answer(line: str) -> Answer | None:
    """What a process answers; none where it has ended, or says something else."""
    if not line.endswith("\n"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _strange(line: str) -> Answer:
    return {
        "error": "its process said what is no answer",
        "why": f"it began with: {terminal(line[:TOLD].rstrip())}",
        "fix": "make this run alone, by its spec",
        "kind": "died",
        "exit_code": 1,
    }


def _died(code: int, said: Sequence[str]) -> Answer:
    """What is told of a process that ended with this code, and printed this last."""
    if code == -signal.SIGTERM:
        return {"interrupted": int(signal.SIGTERM)}
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    memory = code == -signal.SIGKILL
    return {
        "error": f"its process ended by {name}{', as where memory runs out' if memory else ''}",
        "why": f"the last that it printed: {said[0]}" if said else "it printed nothing",
        "fix": "fewer --jobs, or a smaller --batch-size" if memory else "make this run alone, by its spec",
        "kind": "died",
        "exit_code": 3 if memory else 1,
    }


def _close(process: subprocess.Popen[str]) -> int:
    """End its input, which ends it, and wait for it."""
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):
            if stream is not None:
                stream.close()
    return process.wait()

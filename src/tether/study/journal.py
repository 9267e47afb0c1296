"""Journal: the trials of all searches of a study, in one file that any number of machines write to."""

import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tether.errors import DataError, MachineError, MissingExtra, RunLocked
from tether.files import write_refusal
from tether.lock import locked
from tether.regular import require_regular
from tether.study.place import Place

if TYPE_CHECKING:
    import optuna
    from filelock import BaseFileLock

JOURNAL = "search.journal"
PATIENCE = 60.0  # seconds; it is held for as long as it takes to draw a trial
BLOCK = 4096


class Guard:
    """The lock of a journal, as Optuna takes it for every line, and a search for what takes several.

    The system lets go of it when a process dies, unlike Optuna's own locks, which others would wait for. Whoever takes
    it first mends what a process that died within a line has left.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        self._path = path
        self._lock: BaseFileLock = FileLock(path.with_name(f".{path.name}.lock"), timeout=PATIENCE)

    def acquire(self) -> bool:
        """Take it, once more where it is held already.

        Raises:
            MachineError: another process holds it and does not go on, or the disk is broken.
        """
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout:
            raise MachineError(
                f"`{self._path}` has been locked for {PATIENCE:.0f} s",
                why="a process of the study holds it and does not go on, or the disk does not answer",
                fix="end that process, and give the same command again",
            ) from None
        _mend(self._path)
        return True

    def release(self) -> None:
        """Let go of it, as often as it was taken."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True)
class Journal:
    """An open journal, and the word by which this process signs its trials.

    Args:
        claims: the folder of the locks that say which processes live.
    """

    path: Path
    storage: "optuna.storages.BaseStorage"
    guard: Guard
    claims: Path
    word: str

    def lives(self, word: object) -> bool:
        """Whether the process that signs so is there, on this machine or another."""
        name = f"search-{word}.lock"
        if word == self.word:
            return True
        if not (self.claims / name).exists():
            return False
        try:
            with locked(self.claims, name):
                return False
        except RunLocked:
            return True

    @contextmanager
    def used(self) -> Iterator[None]:
        """For steps that no other process may come between.

        Raises:
            MachineError: the disk failed.
            DataError: the journal cannot be read.
        """
        with _refusing(self.path), self.guard:
            yield

    def study(self, name: str) -> "optuna.Study":
        """The search of that name, which is made where there is none."""
        import optuna

        with self.used():
            return optuna.create_study(
                study_name=name,
                storage=self.storage,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            )


@contextmanager
def opened(place: Place) -> Iterator[Journal]:
    """The journal of a study, with Optuna's own words left out.

    Raises:
        MissingExtra: Optuna is not installed.
        DataError: the journal cannot be read.
        MachineError: the disk failed.
    """
    require_optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path, word = place.folder / JOURNAL, secrets.token_hex(8)
    require_regular(path, DataError)
    guard = Guard(path)
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.callback((place.claims / f"search-{word}.lock").unlink, missing_ok=True)
        stack.enter_context(locked(place.claims, f"search-{word}.lock"))
        with _refusing(path), guard:
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=guard))  # type: ignore[arg-type]
        yield Journal(path, storage, guard, place.claims, word)


def require_optuna() -> None:
    """Refuse where Optuna is not installed.

    Raises:
        MissingExtra: see above.
    """
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("optuna", "search") from error


def sampler(seed: int) -> "optuna.samplers.BaseSampler":
    """What draws trials: a tree-structured Parzen estimator (Bergstra et al., 2011), of all settings together."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _mend(path: Path) -> None:
    """Cut off a last line without an end, which nobody has read."""
    with path.open("ab+") as stream:
        end = size = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK)
            stream.seek(start)
            at = stream.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            stream.truncate(end)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling what it does, and then as it was."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Name the journal where it cannot be read or written."""
    try:
        yield
    except OSError as error:
        raise write_refusal(error, path) from error
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError, RecursionError) as error:
        raise DataError(
            f"`{path}` cannot be read: {type(error).__name__}: {error}",
            why="it holds the trials of the search, a line each step",
            fix="remove it, and give the same command again: the runs are kept, and are not made twice",
        ) from None

"""Watch: what happens between two steps: the state of training is saved when it is time, and a signal is obeyed."""

import signal
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from tether.engine.checkpoints import Checkpoints
from tether.engine.trained import metadata
from tether.engine.training import Training
from tether.errors import Interrupted
from tether.interruption import Interruption

SECONDS, SHARE = 30.0, 0.05
DUE = 0.5  # less than any signal's number, so that the greatest of all processes tells what to do
T = TypeVar("T")


class Watched(Protocol):
    """What a loop calls between two steps, and where its state must be kept."""

    def pause(self) -> None:
        """Called where the state of training is whole."""

    def save(self) -> None:
        """Keep the state of training as it is."""


class Unwatched:
    """Saves nothing and hears nothing."""

    def pause(self) -> None:
        """Go on."""

    def save(self) -> None:
        """Keep nothing."""


def over(batches: Iterable[T], watch: Watched) -> Iterator[T]:
    """The batches of an evaluation, with a pause before each."""
    for batch in batches:
        watch.pause()
        yield batch


class Watch:
    """Saves a training's state every so many steps, or about every 30 s and in at most 5 % of the time.

    Args:
        started: the monotonic clock's time when the run began, as if it had not been cut.

    Raises:
        Interrupted: a signal has asked to stop; the state is saved.
        MachineError: the state could not be written; the one before it is intact.
    """

    def __init__(
        self, training: Training, checkpoints: Checkpoints, interruption: Interruption, *, started: float
    ) -> None:
        self.training, self.checkpoints, self.interruption = training, checkpoints, interruption
        self.every = training.job.spec.checkpoint.every
        self.saved = self._place
        self.started, self.cost, self.last = started, 0.0, time.monotonic()
        self.ended = False

    @property
    def seconds(self) -> float:
        """How long the run has taken, with what it took before it was cut."""
        return time.monotonic() - self.started

    def pause(self) -> None:
        """Save if it is time or a signal has come, and stop in the latter case."""
        asked = self.training.ranks.most(self.interruption.asked or (DUE if self._is_due() else 0))
        if asked and not self.ended:
            self.save()
        if asked > DUE:
            self._stop(int(asked))

    def save(self) -> None:
        """Write a checkpoint of the state as it is, unless there is one of this place."""
        if self.saved == self._place:
            return
        training, started = self.training, time.monotonic()
        training.seconds = self.seconds
        job, state = training.job, training.state()
        about = metadata(job.spec, job.task.pictures.classes, str(job.leash.plan))
        weights = job.model.state_dict()
        training.ranks.once(lambda: self.checkpoints.save(training.step, weights, state, about))
        self.saved, self.last = self._place, time.monotonic()
        self.cost = self.last - started

    def end(self) -> None:
        """Save the last state; from here on the weights may be changed, and a signal stops without another save."""
        self.save()
        self.ended = True

    @property
    def _place(self) -> tuple[int, int, int]:
        return self.training.epoch, self.training.batch, self.training.step

    def _is_due(self) -> bool:
        if self.ended:
            return False
        if self.every:
            return self.training.step % self.every == 0 and self.saved[-1] != self.training.step
        return time.monotonic() - self.last > max(SECONDS, self.cost / SHARE)

    def _stop(self, number: int) -> None:
        training, run = self.training, self.checkpoints.run
        name, steps = signal.Signals(number).name, training.job.steps
        raise Interrupted(
            number,
            f"stopped by {name} at step {training.step} of {steps}; its state is saved",
            why=f"`{run}` goes on from there to the same bits as if it had not been stopped",
            fix=f"tether fit --resume {run}",
        )

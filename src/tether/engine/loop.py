"""The visible loop: batch, terms, backward, step, record."""

from collections.abc import Callable

from tether.engine.best import Best
from tether.engine.build import Job
from tether.engine.divergence import refuse_overflow
from tether.engine.evaluate import score
from tether.engine.progress import progress
from tether.engine.training import Row, Sums, Training
from tether.engine.update import moves_in_a_pass, update
from tether.engine.watch import Unwatched, Watched, over
from tether.errors import Diverged
from tether.scores import Scores


def train(
    training: Training, log: Callable[[Row], None], *, watch: Watched | None = None, quiet: bool | None = None
) -> Best:
    """Train a job from where it is to its end; one of no epochs is measured on validation as it is.

    Args:
        log: gets a row an epoch.
        watch: saves the state between two steps and may stop there.

    Raises:
        Diverged: a loss or a gradient is not finite, and the update is not made; or the weights have overflowed.
        Interrupted: as `watch` does.
    """
    job, ranks, watch = training.job, training.ranks, watch or Unwatched()
    network = ranks.wrapped(job.model)
    with progress(job.steps, job.spec.data.path, done=training.step, quiet=quiet if ranks.first else True) as advance:
        while not training.ended:
            job.train_mode()
            for batch in job.task.batches(training.epoch, training.batch, slice(ranks.rank, None, ranks.count)):
                watch.pause()
                try:
                    loss = update(training, network, batch)
                except Diverged:
                    if not moves_in_a_pass(job.model):  # a buffer has seen the batch already
                        watch.save()
                    raise
                advance(f"loss {loss:.3f}")
            log(end_epoch(training, watch))
    if not job.epochs:
        training.best.validation = _validated(job, watch)
    return training.best


def end_epoch(training: Training, watch: Watched) -> Row:
    """Measure, take the weights if they are the best, and turn to the next epoch; returns the epoch's row.

    Raises:
        Diverged: the weights have overflowed.
    """
    job, ranks = training.job, training.ranks
    job.leash.flush()
    ranks.share_buffers(job.model)
    watch.pause()
    found = _validated(job, watch)
    sums = Sums.over(ranks.gathered(training.sums))
    row = {"epoch": training.epoch + 1, "step": training.step, **sums.row()}
    row |= {"validation_accuracy": found.accuracy, "validation_nll": found.nll} if found else {}
    row |= job.leash.log()
    refuse_overflow(row)
    training.best.offer(job.model, found)
    training.rows.append(row)
    training.epoch, training.batch, training.sums = training.epoch + 1, 0, Sums()
    return row


def _validated(job: Job, watch: Watched) -> Scores | None:
    if not len(job.task.split.validation):
        return None
    return score(job.model, over(job.task.still("validation"), watch))

"""Estimate: about how long a run takes, from a few of its steps."""

import itertools
import time
from contextlib import suppress

import torch

from tether.engine.build import Job
from tether.engine.evaluate import logits_of
from tether.engine.optimise import make_optimizer
from tether.engine.training import Training
from tether.engine.update import refuse_to_part, update
from tether.engine.yardsticks import Yardsticks
from tether.errors import Diverged

TIMED_STEPS = 3


def estimate(job: Job) -> float:
    """About how many seconds a run takes from its first step on; the job makes some steps, and is then used up.

    Raises:
        InputError: what a run would refuse before its first step.
    """
    torch.set_num_threads(job.spec.threads or 1)
    if job.spec.train.auto_batch:
        refuse_to_part(job)
    training = Training(job, make_optimizer(job.spec.optimizer, job.model))
    yardsticks = Yardsticks(job)
    split = job.task.split
    seen = len(split.validation) * (job.epochs + 1) + 2 * len(split.test)
    seen += 3 * len(yardsticks.retention.chosen) if yardsticks.retention else 0
    seen += 2 * len(yardsticks.unlabelled) if yardsticks.unlabelled else 0
    seen += len(split.train) * (job.spec.probe or job.epochs == 0)
    return _step(training) * job.steps + _picture(job) * seen


def _step(training: Training) -> float:
    """The time of one step, penalty and all; the first warms up and is not counted."""
    job, taken = training.job, []
    if not job.steps:
        return 0.0
    job.train_mode()
    batches = [batch for _, batch in zip(range(TIMED_STEPS + 1), job.task.batches(0), strict=False)]
    with suppress(Diverged):  # that is for the run to tell
        for batch in itertools.islice(itertools.cycle(batches), TIMED_STEPS + 1):
            started = time.perf_counter()
            update(training, job.model, batch)
            taken.append(time.perf_counter() - started)
    return min(taken[1:] or taken or [0.0])


def _picture(job: Job) -> float:
    """The time to decode and evaluate one picture."""
    started = time.perf_counter()
    still = job.task.still("test") if len(job.task.split.test) else job.task.still("train")
    batch = next(iter(still))
    logits_of(job.model, [batch])
    return (time.perf_counter() - started) / len(batch[1])

"""Yardsticks: what a run is measured against once it has ended."""

from contextlib import nullcontext
from typing import Any

import numpy as np

from tether.answers import Answers
from tether.data.loading import load_unlabelled
from tether.engine.agreement import Agreement, Compared
from tether.engine.best import Best
from tether.engine.build import Job
from tether.engine.evaluate import answers_of, logits_of
from tether.engine.measure import tell_skipped
from tether.engine.retention import Retention
from tether.engine.training import Training
from tether.engine.watch import Watched, over
from tether.engine.whole import WholeSource
from tether.errors import InputError
from tether.scores import Scores
from tether.tasks.image import still_batches


class Yardsticks:
    """The source model and the pictures that a run is held against, all there before its first step.

    Raises:
        DataError: pictures of the source, or unlabelled ones, are absent, unreadable or of other classes.
        SettingsError, MatchError: pictures are given to hold the source against, and it has no whole head.
    """

    def __init__(self, job: Job) -> None:
        settings = job.spec.source
        self.job, self.absent = job, ""
        self.retention = Retention(job) if settings and settings.data else None
        self.unlabelled = None
        if settings and settings.unlabelled:
            self.unlabelled = load_unlabelled(settings.unlabelled, skip_bad=job.spec.data.skip_bad)
            tell_skipped(self.unlabelled)
        self.agreement = self._agreement() if settings else None

    def _agreement(self) -> Agreement | None:
        if self.retention is not None:
            return Agreement(self.retention.source)
        try:
            return Agreement(WholeSource(self.job))
        except InputError as error:
            if self.unlabelled is not None:
                raise
            self.absent = error.what
            return None

    def enter(self, training: Training) -> None:
        """Note in a training which pictures it is measured on beside the target's, so that a resume asks for them."""
        training.source_data = self.retention.pictures.digest if self.retention else None
        training.unlabelled = self.unlabelled.digest if self.unlabelled else None

    def outcome(self, training: Training, watch: Watched) -> tuple[dict[str, Any], Answers | None]:
        """What came of a training whose model has its final weights, and the answers on its test pictures.

        Raises:
            Diverged: an output on the target's or the source's pictures is not finite.
            Interrupted: as `watch` does.
        """
        job, best, split = training.job, training.best, training.job.task.split
        answers, beside = self._answers(watch)
        outcome = {
            "status": "done",
            "test": Scores.of(answers).to_json() if answers is not None else None,
            "probe": training.probed,
            "retention": self.retention.measure(job.model, watch) if self.retention else None,
            **self._agreed(beside, "test" if len(split.test) else "validation", watch),
            "validation": best.validation.to_json() if best.validation else None,
            "epoch_taken": best.epoch,
            "epochs": best.epochs,
            "chosen_on": _chosen_on(best),
            "batchnorm": job.spec.batchnorm,
            "displacement": job.leash.log()["tether/displacement"],
            "steps": job.leash.steps_seen,
            "steps_acted": job.leash.steps_acted,
            **({"micro_batch": training.micro} if training.micro else {}),
            **({"resumed_at_steps": training.resumed_at} if training.resumed_at else {}),
        }
        return outcome, answers

    def _answers(self, watch: Watched) -> tuple[Answers | None, Compared]:
        """Answers to the test pictures, and what the source model says beside; to validation pictures without test."""
        model, task = self.job.model, self.job.task
        with self.agreement.beside(model) if self.agreement else nullcontext(Compared()) as beside:
            if len(task.split.test):
                return answers_of(model, over(task.still("test"), watch)), beside
            if self.agreement and len(task.split.validation):
                logits_of(model, over(task.still("validation"), watch))
        return None, beside

    def _agreed(self, target: Compared, part: str, watch: Watched) -> dict[str, Any]:
        if self.agreement is None:
            return {"agreement": None} | ({"agreement_absent": self.absent} if self.absent else {})
        found = {"target": _of(target, part), "unlabelled": _of(self._unlabelled(watch), "unlabelled")}
        whole = {name: value for name, (value, _) in found.items()}
        why = "; ".join(why for _, why in found.values() if why)
        return {"agreement": whole if any(whole.values()) else None} | ({"agreement_absent": why} if why else {})

    def _unlabelled(self, watch: Watched) -> Compared | None:
        if self.agreement is None or self.unlabelled is None:
            return None
        batches = still_batches(self.unlabelled, np.arange(len(self.unlabelled)), self.job.spec)
        with self.agreement.beside(self.job.model) as found:
            logits_of(self.job.model, over(batches, watch))
        return found


def _of(found: Compared | None, part: str) -> tuple[dict[str, Any] | None, str]:
    """What was found on the pictures of a part, or why there is nothing."""
    if found is None:
        return None, ""
    if found.odd:
        return None, f"outputs are not finite on {found.odd} of {found.count} {part} pictures"
    if not found.count:
        return None, "there are no test or validation pictures"
    return {"part": part, **(found.to_json() or {})}, ""


def _chosen_on(best: Best) -> str:
    if not best.epochs:
        return "nothing: no step was made"
    return "validation" if best.validation else "nothing: the last epoch, without validation pictures"

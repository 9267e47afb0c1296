"""Keeper: what a run writes into its folder, from the first line to the manifest."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from tether.answers import FILE as ANSWERS
from tether.answers import Answers
from tether.engine.card import card
from tether.engine.checkpoints import Checkpoints
from tether.engine.drift import drifts
from tether.engine.parallel import Ranks
from tether.engine.rows import rows
from tether.engine.trained import metadata, save_model, save_reference
from tether.engine.training import Training
from tether.errors import Interrupted, MachineError, Notice, TetherError
from tether.escaping import json_text
from tether.files import append_line, link_latest, staged, write_durably, write_manifest
from tether.record import METRICS, OUTCOME, RunRecord, environment, metrics_line

DRIFT = "drift.json"


class Keeper:
    """Writes one run folder, which is made whole in one step and never overwritten."""

    def __init__(self, folder: Path, training: Training, checkpoints: Checkpoints | None = None) -> None:
        self.folder, self.training, self.job = folder, training, training.job
        self.checkpoints = checkpoints or Checkpoints(folder, self.job.spec.checkpoint.keep)
        where = environment(threads=torch.get_num_threads(), device=self.job.spec.device or "cpu")
        self.record = RunRecord(self.job.spec, where)

    def open(self, ranks: Ranks) -> None:
        """Make the folder with all that is known before the first step, and a checkpoint to begin from.

        Raises:
            RunExists: the folder is there already.
            MachineError: the disk is full, read-only or broken.
        """
        state = self.training.state()
        ranks.once(lambda: self._open(state))

    def _open(self, state: Any) -> None:
        with staged(self.folder) as aside:
            self._begin(aside)
            about = metadata(self.job.spec, self.job.task.pictures.classes, str(self.job.leash.plan))
            Checkpoints(aside).save(self.training.step, self.job.model.state_dict(), state, about)

    def _begin(self, folder: Path) -> None:
        """All that is known before the first step, and never changes after it."""
        self.record.write(folder)
        if self.job.moved is not None:
            self.job.moved.write(folder)
            save_reference(folder, self.job.leash.anchor)
        table = [row.to_json() for row in rows(self.job.leash, self.training.optimizer)]
        _json(folder / "plan.json", {"plan": str(self.job.leash.plan), "parameters": table})
        pictures, split = self.job.task.pictures, self.job.task.split
        digests = {"digest": pictures.digest, "test_digest": pictures.digest_of(split.test)}
        _json(folder / "split.json", split.to_json() | digests)

    def reopen(self, before: Mapping[str, Any]) -> None:
        """Bring the folder to where training goes on: later rows of the metrics go, and a failure that was noted.

        What was written before the first step is written again, whatever has become of it.

        Raises:
            MachineError: the disk is full, read-only or broken.
        """
        self._begin(self.folder)
        if self.training.rows or (self.folder / METRICS).exists():
            write_durably(self.folder / METRICS, self._metrics())
        (self.folder / OUTCOME).unlink(missing_ok=True)
        now = self.record.environment
        if other := [name for name in now if now[name] != before.get(name) and name != "started_in"]:
            changed = ", ".join(f"{name} {now[name]} after {before.get(name)}" for name in other)
            told = f"`{self.folder}` goes on under another {changed}: its last bits may differ from an uncut run's"
            warnings.warn(Notice(told), stacklevel=2)

    def _metrics(self) -> str:
        return "".join(f"{metrics_line(row)}\n" for row in self.training.rows)

    def log(self, row: Mapping[str, Any]) -> None:
        """Add one row to the metrics."""
        append_line(self.folder / METRICS, metrics_line(row))

    @contextmanager
    def noting_failure(self, ranks: Ranks) -> Iterator[None]:
        """Leave in `outcome.json` why the run did not end, and say in the error how to go on."""
        try:
            yield
        except (TetherError, Interrupted) as error:
            if isinstance(error, TetherError):
                error.what = f"`{self.folder}`: {error.what}"
            if isinstance(error, MachineError):
                error.why = (
                    f"{error.why}; the last checkpoint is intact" if error.why else "the last checkpoint is intact"
                )
                error.fix = f"{error.fix.partition(', then')[0]}, then tether fit --resume {self.folder}"
            if ranks.first:
                with suppress(TetherError):  # a full disk, which is told already
                    _json(self.folder / OUTCOME, {"status": type(error).__name__.lower(), "error": error.what})
            raise

    def close(self, outcome: Mapping[str, Any], answers: Answers | None = None) -> None:
        """Write the model, its card, its answers, its drift and the outcome, and the manifest last."""
        job, classes = self.job, self.job.task.pictures.classes
        summary = str(job.leash)
        save_model(self.folder, job.model.state_dict(), job.spec, classes, str(job.leash.plan))
        write_durably(self.folder / "tether.txt", summary + "\n")
        write_durably(self.folder / "README.md", card(job.spec, classes, outcome, summary))
        if answers is not None:
            answers.save(self.folder / ANSWERS)
        if job.moved is not None:
            layers = [drift.to_json() for drift in drifts(job.leash)]
            _json(self.folder / DRIFT, {"layers": layers, "outputs": outcome.get("agreement")})
        RunRecord(self.record.spec, self.record.environment, (), outcome).write(self.folder)
        write_durably(self.folder / METRICS, self._metrics())  # its rows were appended, and not synced
        write_manifest(self.folder)

    def link(self) -> None:
        """Point `latest` to the run, which has ended and is whole, whatever comes of this."""
        try:
            link_latest(self.folder)
        except TetherError as error:
            warnings.warn(Notice(f"the run is whole; {error.what}"), stacklevel=2)


def _json(path: Path, value: Mapping[str, Any]) -> None:
    write_durably(path, json_text(dict(value), indent=1) + "\n")

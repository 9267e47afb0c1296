"""Keeper: what a run writes into its folder, from the first line to the manifest."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tether.engine.build import Job
from tether.engine.card import card
from tether.engine.rows import rows
from tether.engine.trained import save_model, save_reference
from tether.errors import TetherError
from tether.files import append_line, link_latest, make_run_folder, write_durably, write_manifest
from tether.record import METRICS, RunRecord, environment, metrics_line


class Keeper:
    """Writes one run folder, which is made exclusively and never overwritten."""

    def __init__(self, folder: Path, job: Job, optimizer: Optimizer) -> None:
        self.folder, self.job, self.optimizer = folder, job, optimizer
        where = environment(threads=torch.get_num_threads(), device=job.spec.device or "cpu")
        self.record = RunRecord(job.spec, where)

    def open(self) -> None:
        """Make the folder and write all that is known before the first step.

        Raises:
            RunExists: the folder is there already.
            MachineError: the disk is full, read-only or broken.
        """
        make_run_folder(self.folder)
        self.record.write(self.folder)
        if self.job.moved is not None:
            self.job.moved.write(self.folder)
            save_reference(self.folder, self.job.leash.anchor)
        table = [row.to_json() for row in rows(self.job.leash, self.optimizer)]
        self._json("plan.json", {"plan": str(self.job.leash.plan), "parameters": table})
        pictures, split = self.job.task.pictures, self.job.task.split
        self._json(
            "split.json", split.to_json() | {"digest": pictures.digest, "test_digest": pictures.digest_of(split.test)}
        )

    def log(self, row: Mapping[str, Any]) -> None:
        """Add one row to the metrics."""
        append_line(self.folder / METRICS, metrics_line(row))

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Leave in `outcome.json` why the run did not end, and name its folder in the error."""
        try:
            yield
        except TetherError as error:
            error.what = f"`{self.folder}`: {error.what}"
            with suppress(TetherError):  # a full disk, which is told already
                self._json("outcome.json", {"status": type(error).__name__.lower(), "error": error.what})
            raise

    def close(self, state: dict[str, Tensor], outcome: Mapping[str, Any]) -> None:
        """Write the model, its card and the outcome; the manifest last, and then the link `latest`."""
        job, classes = self.job, self.job.task.pictures.classes
        summary = str(job.leash)
        save_model(self.folder, state, job.spec, classes, str(job.leash.plan))
        write_durably(self.folder / "tether.txt", summary + "\n")
        write_durably(self.folder / "README.md", card(job.spec, classes, outcome, summary))
        RunRecord(self.record.spec, self.record.environment, (), outcome).write(self.folder)
        write_manifest(self.folder)
        link_latest(self.folder)

    def _json(self, name: str, value: Mapping[str, Any]) -> None:
        write_durably(self.folder / name, json.dumps(value, indent=1) + "\n")

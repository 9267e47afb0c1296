"""Training: all that changes while a job is trained, which a checkpoint holds and a resume restores."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from tether.engine.best import Best
from tether.engine.build import Job
from tether.engine.optimise import make_schedule
from tether.engine.packing import Tree
from tether.engine.parallel import ALONE, Ranks
from tether.errors import CheckpointError
from tether.spec import RunSpec
from tether.terms.result import Terms

Row = dict[str, Any]
AT = ("epoch", "batch", "step", "micro", "seconds", "resumed_at", "probed")


@dataclass
class Sums:
    """Of the batches of the epoch that is under way."""

    loss: float = 0.0
    right: int = 0
    seen: int = 0
    shares: dict[str, float] = field(default_factory=dict)

    @classmethod
    def over(cls, parts: Sequence["Sums"]) -> "Sums":
        """Those of several processes together, in their order."""
        names = parts[0].shares
        shares = {name: sum(part.shares[name] for part in parts) for name in names}
        return cls(
            sum(part.loss for part in parts),
            sum(part.right for part in parts),
            sum(part.seen for part in parts),
            shares,
        )

    def add(self, terms: Terms, labels: torch.Tensor) -> None:
        """Count one batch, or a part of one."""
        count = len(labels)
        self.loss += terms.total.item() * count
        for name, value in terms.values.items() if len(terms.values) > 1 else ():
            self.shares[f"terms/{name}"] = self.shares.get(f"terms/{name}", 0.0) + float(value) * count
        self.right += int((terms.output.argmax(1) == labels).sum())
        self.seen += count

    def row(self) -> Row:
        """Means over the pictures seen."""
        shares = {name: share / self.seen for name, share in self.shares.items()}
        return {"loss": self.loss / self.seen, "train_accuracy": self.right / self.seen} | shares


class Training:
    """A job under way: its optimiser with the tether attached, where it is, and what it has found.

    Args:
        ranks: the processes that share the work.

    Raises:
        AttachError: the tether and the optimiser do not fit.

    Attributes:
        epoch: whole epochs made.
        batch: batches made of the epoch under way.
        step: optimiser steps made.
        source_data: SHA-256 of the source's pictures, where the run uses them.
        unlabelled: the same of the unlabelled pictures.
        micro: pictures that go through the network at once; all of a batch where it is none.
    """

    def __init__(self, job: Job, optimizer: Optimizer, ranks: Ranks = ALONE) -> None:
        self.job, self.optimizer, self.ranks = job, optimizer, ranks
        self.schedule = make_schedule(job.spec.optimizer, optimizer, job.steps)
        job.leash.attach(optimizer)
        self.best, self.sums = Best(), Sums()
        self.rows: list[Row] = []
        self.epoch = self.batch = self.step = 0
        self.micro: int | None = None
        self.seconds = 0.0
        self.resumed_at: list[int] = []
        self.probed: dict[str, Any] | None = None
        self.source_data: str | None = None
        self.unlabelled: str | None = None

    @property
    def ended(self) -> bool:
        """Whether no step is left to make."""
        return self.epoch >= self.job.epochs or self.best.waited(self.job.spec.train.patience)

    def state(self) -> Tree:
        """All but the weights; the same whenever it is taken between two steps."""
        return {
            "spec": self.job.spec.digest,
            "data": self.job.task.pictures.digest,
            "source": self.job.source.digest if self.job.source else None,
            "source_data": self.source_data,
            "unlabelled": self.unlabelled,
            "at": {name: getattr(self, name) for name in AT},
            "rows": self.rows,
            "best": self.best.to_tree(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "tether": self.job.leash.state_dict(),
            "ranks": self.ranks.gathered({"sums": vars(self.sums), "generators": generators()}),
        }

    def restore(self, weights: Mapping[str, torch.Tensor], state: Tree) -> None:
        """Go on from a state, to the same bits as if it had never ended.

        Raises:
            CheckpointError: it is of other data, another source or another number of processes, or is no such state.
        """
        try:
            self._refuse_other(state)
            self._take(weights, state)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the state of this run cannot be taken: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
                why="its manifest holds, and its content is no state of this network, optimiser and plan",
                fix="resume with the version of Tether that wrote it, or start anew with another --out",
            ) from None

    def _take(self, weights: Mapping[str, torch.Tensor], state: Tree) -> None:
        self.job.model.load_state_dict(dict(weights))
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        self.job.leash.load_state_dict(state["tether"])
        for name in AT:
            setattr(self, name, state["at"][name])
        self.rows, self.best = state["rows"], Best.of_tree(state["best"])
        own = state["ranks"][self.ranks.rank]
        self.sums = Sums(**own["sums"])
        set_generators(own["generators"])

    def _refuse_other(self, state: Tree) -> None:
        job = self.job
        source, data = (job.spec.source.path, job.spec.source.data) if job.spec.source else ("", "")
        unlabelled = job.spec.source.unlabelled if job.spec.source else ""
        known = (
            ("data", job.task.pictures.digest, f"the pictures of `{job.spec.data.path}` were changed", "restore them"),
            ("source", job.source.digest if job.source else None, f"the source `{source}` was changed", "restore it"),
            ("source_data", self.source_data, f"the source's pictures `{data}` were changed", "restore them"),
            ("unlabelled", self.unlabelled, f"the pictures of `{unlabelled}` were changed", "restore them"),
        )
        for name, now, what, fix in known:
            if state[name] != now:
                raise _changed(what, fix)
        if len(state["ranks"]) != self.ranks.count:
            raise CheckpointError(
                f"the run was made by {len(state['ranks'])} processes, and this is one of {self.ranks.count}",
                why="the pictures of a batch would be parted in another way",
                fix=f"torchrun --nproc-per-node {len(state['ranks'])} …",
            )


def refuse_other_spec(state: Tree, spec: RunSpec) -> None:
    """Refuse to go on by other settings than those of a state.

    Raises:
        CheckpointError: they differ.
    """
    if state.get("spec") != spec.digest:
        raise _changed("its `spec.toml` was changed", "undo the change, or start anew with another --out")


def _changed(what: str, fix: str) -> CheckpointError:
    why = "what it ended with would be taken for the end of an uncut run, and would be another"
    return CheckpointError(f"the run cannot go on: {what} since its checkpoint was made", why=why, fix=fix)


def generators() -> Tree:
    """The states of all generators that a network may draw from."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    found: Tree = {
        "torch": torch.get_rng_state(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
        "python": random.getstate(),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def set_generators(state: Tree) -> None:
    """Put all generators where they were."""
    torch.set_rng_state(state["torch"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])

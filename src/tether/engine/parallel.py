"""Parallel: the processes that train one model together, started by torchrun."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tether.errors import MachineError, SettingsError, TetherError
from tether.spec import RunSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Which process it is among those that share the work; alone where there is one."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    def most(self, value: float) -> float:
        """The greatest value of all processes."""
        if self.count == 1:
            return value
        found = torch.tensor(float(value), dtype=torch.float64)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return found.item()

    def gathered(self, value: T) -> list[T]:
        """The value of every process, in their order."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    def once(self, act: Callable[[], T]) -> T | None:
        """Let the first process act while the others wait; what it refuses, all refuse.

        Raises:
            TetherError: as the first process does.
        """
        if self.count == 1:
            return act()
        result, refused = None, [None]
        if self.first:
            try:
                result = act()
            except TetherError as error:
                refused = [error]  # type: ignore[list-item]
        distributed.broadcast_object_list(refused, src=0)
        if refused[0] is not None:
            raise refused[0]
        return result

    def told(self, value: T) -> T:
        """The value of the first process."""
        return self.gathered(value)[0]

    def share_buffers(self, model: nn.Module) -> None:
        """Give all processes the buffers of the first."""
        if self.count > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The model to call in training, whose backward pass takes the mean of the gradients of all processes."""
        if self.count == 1:
            return model
        # looking for unused parameters keeps its buckets as they were made: a resumed run adds in the same order
        return DistributedDataParallel(model, find_unused_parameters=True)


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun has started, or this one alone.

    Raises:
        MachineError: the others cannot be reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not distributed.is_available():
        yield ALONE
        return
    mine = not distributed.is_initialized()
    if mine:
        try:
            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        except (ValueError, RuntimeError) as error:
            raise MachineError(
                f"the {count} processes of this run cannot reach one another: {str(error).splitlines()[0]}",
                why="WORLD_SIZE is set, so that this process is one of several",
                fix="start it with torchrun, or unset WORLD_SIZE to train in one process",
            ) from None
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    except RuntimeError as error:
        if not is_lost(error):
            raise
        raise MachineError(
            "another process of this run is gone",
            why="it has closed its connection: it has failed, was stopped, or was killed",
            fix="see what it said, then start all again",
        ) from error
    finally:
        if mine:
            distributed.destroy_process_group()


def is_lost(error: Exception) -> bool:
    """Whether an exception says that another of the processes cannot be reached any more."""
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )


def refuse_unequal(spec: RunSpec, pictures: int, ranks: Ranks) -> None:
    """Refuse batches that the processes cannot share equally.

    Raises:
        SettingsError: they cannot, or memory is to be found out by trying.
    """
    size = min(spec.train.batch_size, pictures)
    if size % ranks.count:
        raise SettingsError(
            f"a batch of {size} pictures cannot be shared equally by {ranks.count} processes",
            why="the mean of their gradients would weigh some pictures more",
            fix=f"--batch-size {max(1, size // ranks.count) * ranks.count}",
        )
    if spec.train.auto_batch and ranks.count > 1:
        raise SettingsError(
            "`train.auto_batch` works in one process only",
            why="where one of several runs out of memory, the others wait for its gradients",
            fix="a smaller --batch-size, or more processes",
        )

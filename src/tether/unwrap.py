"""The torch optimiser inside a host's wrapper, whose own hooks never fire."""

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer

from tether.errors import AttachError


def unwrap(optimizer: Any) -> Optimizer:
    """Take off Accelerate's, Fabric's or schedule-free's wrapper.

    Raises:
        AttachError: there is no torch optimiser inside, or DeepSpeed has partitioned it.

    """
    _refuse_deepspeed(optimizer)
    while (inner := getattr(optimizer, "optimizer", None)) is not None:
        optimizer = inner
        _refuse_deepspeed(optimizer)
    if not isinstance(optimizer, Optimizer):
        raise AttachError(
            f"`{type(optimizer).__name__}` is not a torch optimiser",
            why="a tether acts through the step hooks of `torch.optim.Optimizer`",
            fix="attach to the optimiser that it wraps",
        )
    return optimizer


def refuse_partitioned(names: Iterable[tuple[str, Any]]) -> None:
    """Refuse parameters of which DeepSpeed's ZeRO-3 keeps a part in this process and shows none.

    Raises:
        AttachError: there are such.

    """
    for name, parameter in names:
        if hasattr(parameter, "ds_id"):
            raise AttachError(
                f"`{name}` is partitioned by DeepSpeed's ZeRO-3",
                why="a partitioned parameter looks empty, so that its penalty would be zero",
                fix="FSDP2's `fully_shard`, DDP, or a single process",
            )


def _refuse_deepspeed(optimizer: Any) -> None:
    kinds = type(optimizer).__mro__
    if any(kind.__module__.split(".")[0] == "deepspeed" or kind.__name__.startswith("DeepSpeed") for kind in kinds):
        raise AttachError(
            f"`{type(optimizer).__name__}` is DeepSpeed's, and a tether does not act in it",
            why="it steps flat partitions of its own, so that pulls on the model's parameters would be lost or partial",
            fix="FSDP2's `fully_shard`, DDP, or a single process",
        )

"""Pair and Miss: what becomes of each tensor of the target, and why."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tether.errors import MatchError
from tether.escaping import terminal
from tether.matching.head import Head, Rows
from tether.matching.slots import Slot

Reason = Literal["missing", "shape", "dtype", "excluded", "new head"]


@dataclass(frozen=True)
class Pair:
    """A target tensor and the source tensor it is copied from.

    Args:
        rows: (target row, source row) of a head matched by class name; None where the whole tensor is copied.
        cast: from which dtype to which, where the two differ.
    """

    target: str
    source: str
    shape: tuple[int, ...]
    rows: Rows | None = None
    cast: str | None = None
    is_buffer: bool = False

    @property
    def values(self) -> int:
        """How many values are copied."""
        size = math.prod(self.shape)
        return size if self.rows is None else size // self.shape[0] * len(self.rows)


@dataclass(frozen=True)
class Miss:
    """A target tensor that stays as it is, with the reason and a sentence of detail."""

    target: str
    shape: tuple[int, ...]
    reason: Reason
    detail: str
    is_buffer: bool = False


def decide(slot: Slot, name: str | None, value: Tensor | None, *, excluded: Collection[str], head: Head) -> Pair | Miss:
    """Say whether and how `value`, the source's tensor `name`, goes into `slot`.

    Raises:
        MatchError: the rows of the source's head are not as many as its classes.
    """
    shape = tuple(slot.tensor.shape)

    def miss(reason: Reason, detail: str) -> Miss:
        return Miss(slot.name, shape, reason, detail, slot.is_buffer)

    if slot.name in excluded:
        return miss("excluded", "a glob of `exclude` selects it")
    if name is None or value is None:
        return miss("missing", "the source has no tensor for it")
    if not _castable(value.dtype, slot.tensor.dtype):
        return miss("dtype", f"{_short(value.dtype)} in the source, {_short(slot.tensor.dtype)} in the model")
    by_class = head.target_classes is not None and slot.name in head.parameters
    if by_class and head.source_classes is None:
        return miss(
            "new head", "nothing says which class each source row stands for; name them with --source-classes FILE"
        )
    skip = 1 if by_class else 0
    if value.ndim != slot.tensor.ndim or value.shape[skip:] != slot.tensor.shape[skip:]:
        return miss("shape", f"{tuple(value.shape)} in the source, {shape} in the model")
    rows = _rows(head, name, value) if by_class else None
    if rows is not None and not rows:
        return miss("new head", "source and target have no class in common")
    cast = None if value.dtype == slot.tensor.dtype else f"{_short(value.dtype)} to {_short(slot.tensor.dtype)}"
    return Pair(slot.name, name, shape, rows, cast, slot.is_buffer)


def _rows(head: Head, name: str, value: Tensor) -> Rows | None:
    named = head.source_classes or ()
    if value.shape[0] != len(named):
        raise MatchError(
            f"`{terminal(name)}` of the source has {value.shape[0]} rows, and {len(named)} source classes are named",
            why="rows of a head are matched by class name, so each row needs one",
            fix="name the source's classes one a line, in the order of its outputs",
        )
    return None if named == head.target_classes else head.rows()


def _castable(source: torch.dtype, target: torch.dtype) -> bool:
    return source == target or (_is_plain_float(source) and _is_plain_float(target))


def _is_plain_float(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point and dtype.itemsize > 1  # an eight-bit float means nothing without its scale


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

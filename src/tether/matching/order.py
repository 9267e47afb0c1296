"""Pairing in order: for a source whose names are others and whose tensors are the same."""

from collections.abc import Collection, Mapping

from torch import Tensor

from tether.errors import MatchError
from tether.escaping import terminal
from tether.matching.slots import Slot, leaf

COUNTER = "num_batches_tracked"


def pair_in_order(
    sources: Mapping[str, Tensor], targets: Mapping[str, Slot], *, head: Collection[str] = ()
) -> dict[str, str]:
    """Pair the n-th target with the n-th source, if all agree in shape and in the last component of the name.

    Args:
        head: targets that may differ in their first dimension, the classes.

    Raises:
        MatchError: one pair disagrees, which is named, or one side has more tensors.
    """
    here, there = _aligned(sources, targets)
    for place, (target, source) in enumerate(zip(there, here, strict=False), 1):
        if not _agree(target, targets[target], source, sources[source], free_rows=targets[target].name in head):
            raise _disagreement(
                f"tensor {place} of {len(there)} is {_shown(source, sources[source])} in the source "
                f"and {_shown(target, targets[target].tensor)} in the model"
            )
    if len(here) != len(there):
        more, fewer, side = (here, there, "source") if len(here) > len(there) else (there, here, "model")
        raise _disagreement(
            f"after {len(fewer)} that agree, the {side} has `{terminal(more[len(fewer)])}` and the other has no more"
        )
    return dict(zip(there, here, strict=True))


def _aligned(sources: Mapping[str, Tensor], targets: Mapping[str, Slot]) -> tuple[list[str], list[str]]:
    here, there = list(sources), list(targets)
    if any(leaf(name) == COUNTER for name in here) != any(leaf(name) == COUNTER for name in there):
        here = [name for name in here if leaf(name) != COUNTER]
        there = [name for name in there if leaf(name) != COUNTER]
    if len(here) != len(there):  # a file may hold a tied tensor once
        there = [name for name in there if targets[name].name == name]
    return here, there


def _agree(target: str, slot: Slot, source: str, value: Tensor, *, free_rows: bool) -> bool:
    ours, theirs = tuple(slot.tensor.shape), tuple(value.shape)
    if free_rows:
        ours, theirs = ours[1:], theirs[1:]
    return leaf(target) == leaf(source) and ours == theirs and slot.tensor.ndim == value.ndim


def _shown(name: str, tensor: Tensor) -> str:
    return f"`{terminal(name)}` {tuple(tensor.shape)}"


def _disagreement(fact: str) -> MatchError:
    return MatchError(
        f"source and model cannot be paired in order: {fact}",
        why="in order, every shape and the last component of every name must agree, one for one",
        fix="pair by name, with --rename REGEX=REPLACEMENT where the names differ, or give the variant of the model "
        "that the source was saved from",
    )

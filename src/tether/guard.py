"""The guard: no optimiser steps tethered parameters without its tether."""

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tether.errors import HooksLost
from tether.escaping import terminal
from tether.held import Held

MARK = "tether"
"""Key in a parameter group that says which plan acts on it; unlike hooks it travels with copies and saved states."""


class Holds(Protocol):
    """What the guard knows of an attachment."""

    held: tuple[Held, ...]
    label: str


_guarded: "weakref.WeakKeyDictionary[Optimizer, Holds]" = weakref.WeakKeyDictionary()
_handles: list[Any] = []


def guard(optimizer: Optimizer, attachment: Holds) -> None:
    """Mark an optimiser as tethered; from then on the first unpulled step of a copy raises."""
    _guarded[optimizer] = attachment
    _mark(optimizer, attachment.label)
    if not _handles:
        _handles.append(register_optimizer_step_pre_hook(_refuse_unpulled))


def release(optimizer: Optimizer) -> None:
    """Take the mark off."""
    _guarded.pop(optimizer, None)
    for group in optimizer.param_groups:
        group.pop(MARK, None)


def guarded(optimizer: Optimizer) -> bool:
    """Whether a tether is attached to this very optimiser."""
    return optimizer in _guarded


def held_elsewhere(parameters: Iterable[Any]) -> list[str]:
    """The names of those parameters that some attached tether holds."""
    held = {id(part.parameter): part.name for other in list(_guarded.values()) for part in other.held}
    return [held[id(p)] for p in parameters if id(p) in held]


def few(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{terminal(name)}`" for name in names[:most]) + more


def _mark(optimizer: Optimizer, label: str) -> None:
    for group in optimizer.param_groups:
        group[MARK] = label


def _refuse_unpulled(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if (attachment := _guarded.get(optimizer)) is not None:
        _mark(optimizer, attachment.label)  # a state loaded since the last step has another mark, or none
        return
    label = next((group[MARK] for group in optimizer.param_groups if MARK in group), None)
    if label is not None:
        raise HooksLost(
            f"this {type(optimizer).__name__} is a copy or has the state of a tethered one, and no tether: {label}",
            why="hooks do not travel with copies, pickles and saved states, so its steps would not be pulled",
            fix=f"leash.attach(optimizer); or, to go on without, group.pop({MARK!r}) in each of its param_groups",
        )
    stepped = held_elsewhere(p for group in optimizer.param_groups for p in group["params"])
    if stepped:
        raise HooksLost(
            f"an optimiser without the tether steps held parameters: {few(stepped)}",
            why="the tether is attached to another optimiser",
            fix="leash.detach(), then leash.attach(this optimiser)",
        )

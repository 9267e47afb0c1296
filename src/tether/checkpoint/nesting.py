"""Which tensors of a saved object are its parameters, and their names without what training put around them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tether.errors import CheckpointError
from tether.params.select import WRAPPERS, canonical, spelled

PLAIN_ENTRIES = ("state_dict", "model_state_dict", "model", "net")
AVERAGED_ENTRIES = ("model_ema", "state_dict_ema", "ema")
HOLDERS = ("backbone.", "model.", "net.")
LONGEST_NAME, DEEPEST, MOST_LOOKED_AT = 1_000, 16, 200


@dataclass(frozen=True, eq=False)
class Unwrapped:
    """Tensors by their bare names, with the entry and the prefix that were taken off.

    Args:
        others: further entries with tensors, which were left, averaged weights among them.

    """

    tensors: dict[str, Tensor]
    entry: str | None
    prefix: str | None
    others: tuple[str, ...]


def unwrap(saved: object, subject: str) -> Unwrapped:
    """Find the named tensors in a saved object.

    Args:
        saved: what `torch.load` gave, or tensors by name.
        subject: what the object is called in an error.

    Raises:
        CheckpointError: it holds no named tensors, or not where they are known to be, or some without plain values.

    >>> from torch import ones
    >>> found = unwrap({"epoch": 3, "state_dict": {"module.fc.bias": ones(2)}, "ema": {"fc.bias": ones(2)}}, "it")
    >>> list(found.tensors), found.entry, found.prefix, found.others
    (['fc.bias'], 'state_dict', 'module.', ('ema',))

    """
    if not isinstance(saved, Mapping):
        raise CheckpointError(
            f"{subject} holds a {type(saved).__name__}, not named tensors",
            why="parameters are found by their names",
            fix='save names with them: `torch.save(model.state_dict(), "weights.pt")`',
        )
    inner, entry, others = _descend(saved)
    tensors = _tensors_of(inner, subject)
    if not tensors:
        raise _nothing_known(saved, subject)
    bare, prefix = bare_names(tensors, subject)
    return Unwrapped(bare, ".".join(entry) or None, prefix, others)


def model_tensors(model: nn.Module, subject: str) -> dict[str, Tensor]:
    """Parameters and buffers of a model by canonical name; no more is taken off, for these are its own names.

    Raises:
        CheckpointError: two names become one, or a tensor has no plain values.

    """
    return _renamed(_tensors_of(model.state_dict(), subject), spelled(model), subject)


def bare_names(tensors: Mapping[str, Tensor], subject: str) -> tuple[dict[str, Tensor], str | None]:
    """Take `module.` and `_orig_mod.` off wherever they stand, and a `backbone.`, `model.` or `net.` that all share.

    Raises:
        CheckpointError: two names become one.

    """
    bare = _renamed(tensors, canonical, subject)
    prefix = max(("".join(found[0] for found in WRAPPERS.finditer(name)) for name in tensors), key=len, default="")
    while holder := next((holder for holder in HOLDERS if bare and all(name.startswith(holder) for name in bare)), ""):
        bare = {name.removeprefix(holder): value for name, value in bare.items()}
        prefix += holder
    return bare, prefix or None


def _renamed(tensors: Mapping[str, Tensor], spell: Callable[[str], str], subject: str) -> dict[str, Tensor]:
    bare: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if spell(name) in bare:
            raise CheckpointError(
                f"{subject} has two tensors called `{spell(name)}` once `module.` and `_orig_mod.` are taken off",
                why="which of the two is meant cannot be known",
                fix="save the parameters of one model only",
            )
        bare[spell(name)] = value
    return bare


def _tensors_of(saved: Mapping[Any, Any], subject: str) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, value in saved.items():
        if isinstance(value, Tensor):
            _require_name(str(key), tensors, subject)
            _require_values(str(key), value, subject)
            tensors[str(key)] = value
    return {name: value.detach() for name, value in tensors.items()}


def _require_name(name: str, others: Mapping[str, Tensor], subject: str) -> None:
    if name in others:
        raise CheckpointError(
            f"{subject} has two tensors called `{name}`, one of them by a name that is no text",
            why="which of the two is meant cannot be known",
            fix="save the parameters under names that differ",
        )
    if len(name) > LONGEST_NAME:
        raise CheckpointError(
            f"{subject} has a tensor whose name has {len(name):,} characters, `{name[:40]}…`",
            why=f"a parameter's name has {LONGEST_NAME:,} at most",
            fix="save the parameters under their names in the model",
        )


def shared_prefix(names: Mapping[str, Any]) -> str | None:
    """Return the modules that every name starts with.

    >>> shared_prefix({"encoder.0.weight": 1, "encoder.1.weight": 1})
    'encoder.'
    """
    levels = zip(*(name.split(".")[:-1] for name in names), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    return ".".join(shared) + "." if shared else None


def _descend(
    tree: Mapping[Any, Any], path: tuple[str, ...] = ()
) -> tuple[Mapping[Any, Any], tuple[str, ...], tuple[str, ...]]:
    found = [name for name in (*PLAIN_ENTRIES, *AVERAGED_ENTRIES) if _holds_tensors(tree.get(name))]
    if not found or len(path) == DEEPEST:
        return tree, path, ()
    inner, entry, others = _descend(tree[found[0]], (*path, found[0]))
    return inner, entry, (*(".".join((*path, name)) for name in found[1:]), *others)


def _holds_tensors(value: object, seen: set[int] | None = None) -> bool:
    """Whether a mapping, or one at a known entry of it, holds tensors; one that holds itself is looked at once."""
    seen = set() if seen is None else seen
    if not isinstance(value, Mapping) or id(value) in seen or len(seen) == MOST_LOOKED_AT:
        return False
    seen.add(id(value))
    if any(isinstance(item, Tensor) for item in value.values()):
        return True
    return any(_holds_tensors(value.get(name), seen) for name in (*PLAIN_ENTRIES, *AVERAGED_ENTRIES))


def _require_values(name: str, value: Tensor, subject: str) -> None:
    if is_lazy(value):
        lack = "is not initialised"
    elif value.is_meta:
        lack = "is on the meta device and has no values"
    elif value.is_quantized:
        lack = "is quantised"
    elif value.layout is not torch.strided:
        lack = "is sparse"
    else:
        return
    raise CheckpointError(
        f"{subject}: the tensor `{name}` {lack}",
        why="only plain values can be copied and held to",
        fix="save it as a plain, dense tensor",
    )


def _nothing_known(saved: Mapping[Any, Any], subject: str) -> CheckpointError:
    entries = [str(name) for name, value in saved.items() if _holds_tensors(value)]
    if not entries:
        return CheckpointError(
            f"{subject} holds no named tensor",
            why="a source is parameters by name",
            fix='`torch.save(model.state_dict(), "weights.pt")` makes one',
        )
    known = ", ".join(f"`{name}`" for name in (*PLAIN_ENTRIES, *AVERAGED_ENTRIES))
    return CheckpointError(
        f"{subject} has tensors under {', '.join(f'`{name}`' for name in entries)}, and it is not known which to take",
        why=f"known entries are {known}",
        fix=f'`torch.save(torch.load("FILE", weights_only=True)["{entries[0]}"], "{entries[0]}.pt")`, and give that',
    )

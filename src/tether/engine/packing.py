"""Packing: a tree of plain values and tensors as JSON and named tensors, and back to the same bits."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tether.errors import CheckpointError

Tree = Any
"""None, truth, numbers, text and tensors, in lists, tuples and dictionaries with any such keys."""


def pack(tree: Tree, at: str = "") -> tuple[Any, dict[str, Tensor]]:
    """What JSON can hold of a tree, and its tensors by their path in it.

    >>> from torch import ones
    >>> pack({"state": {0: {"step": ones(2)}}, "rate": 0.5})[0]
    {'state': {'$dict': [[0, {'step': {'$tensor': '/state/0/step'}}]]}, 'rate': 0.5}
    """
    tensors: dict[str, Tensor] = {}

    def plain(value: Tree, at: str) -> Any:
        if isinstance(value, Tensor):
            while at in tensors:  # as `{1: …, "1": …}` would have it
                at += "~"
            tensors[at] = value.detach()
            return {"$tensor": at}
        if isinstance(value, float) and not math.isfinite(value):
            return {"$float": str(value)}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Mapping):
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: plain(item, f"{at}/{key}") for key, item in value.items()}
            return {"$dict": [[plain(key, f"{at}/key"), plain(item, f"{at}/{key}")] for key, item in value.items()]}
        if isinstance(value, tuple):
            return {"$tuple": [plain(item, f"{at}/{number}") for number, item in enumerate(value)]}
        if isinstance(value, list):
            return [plain(item, f"{at}/{number}") for number, item in enumerate(value)]
        raise TypeError(f"`{at}`: a {type(value).__name__} cannot be kept in JSON")

    return plain(tree, at), tensors


def unpack(found: Any, tensors: Mapping[str, Tensor]) -> Tree:
    """The tree that was packed.

    Raises:
        CheckpointError: it names a tensor that is not there.

    >>> unpack({"$tuple": [1, {"$float": "inf"}]}, {})
    (1, inf)
    """
    if isinstance(found, list):
        return [unpack(item, tensors) for item in found]
    if not isinstance(found, dict):
        return found
    match found:
        case {"$tensor": name}:
            if name not in tensors:
                raise CheckpointError(
                    f"the tensor `{name}` is missing", why="the state of the run names it", fix="another checkpoint"
                )
            return tensors[name]
        case {"$float": text}:
            return float(text)
        case {"$tuple": items}:
            return tuple(unpack(item, tensors) for item in items)
        case {"$dict": pairs}:
            return {unpack(key, tensors): unpack(item, tensors) for key, item in pairs}
    return {key: unpack(item, tensors) for key, item in found.items()}

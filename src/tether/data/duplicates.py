"""Duplicates: files of the same content, which a split may put on both of its sides."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from tether.data.pictures import Pictures
from tether.escaping import terminal

Indices = Int64[np.ndarray, " n"]


def duplicates(pictures: Pictures, parts: Mapping[str, Indices]) -> list[str]:
    """Say how often the same file is in two parts, twice in training, or under two classes, each with the first pair.

    Args:
        parts: the indices of each part, `train` before the others.

    >>> pictures = Pictures.of_arrays("dot", np.zeros((3, 2, 2), np.uint8), [0, 0, 1], ["off", "on"])
    >>> print("\\n".join(duplicates(pictures, {"train": np.array([0]), "test": np.array([1, 2])})))
    The same file in train and test: 2, first `dot/0` and `dot/1`.
    The same file under two classes: 1, first `dot/0` and `dot/2`.
    """
    content = {int(index): pictures.content(int(index)) for indices in parts.values() for index in indices}
    first = {part: _first(indices, content) for part, indices in parts.items()}
    names = list(parts)
    found: dict[str, list[tuple[int, int]]] = {}
    for number, part in enumerate(names):
        for other in names[number + 1 :]:
            found[f"in {part} and {other}"] = _pairs(first[part], parts[other], content)
    found["twice in train"] = _pairs(first["train"], parts["train"], content)
    every = np.array(sorted(content), dtype=np.int64)
    labels = pictures.labels
    found["under two classes"] = [
        (a, b) for a, b in _pairs(_first(every, content), every, content) if labels[a] != labels[b]
    ]
    return [_said(where, pairs, pictures.names) for where, pairs in found.items() if pairs]


def _said(where: str, pairs: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    one, two = (terminal(names[index]) for index in pairs[0])
    return f"The same file {where}: {len(pairs)}, first `{one}` and `{two}`."


def _first(indices: Indices, content: Mapping[int, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index in indices:
        found.setdefault(content[int(index)], int(index))
    return found


def _pairs(first: Mapping[str, int], indices: Indices, content: Mapping[int, str]) -> list[tuple[int, int]]:
    found = ((first.get(content[int(index)]), int(index)) for index in indices)
    return [(one, two) for one, two in found if one is not None and one != two]

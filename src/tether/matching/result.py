"""Match: which source tensor goes into which target tensor, and a reason for every one that does not."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tether.escaping import printable, terminal
from tether.matching.fate import Miss, Pair
from tether.matching.rename import Rename

By = Literal["name", "order"]
SHOWN = 8


@dataclass(frozen=True)
class Match:
    """What a transfer would do: every pair, every miss with its reason, and what the source has left over.

    Args:
        values: how many values the target's parameters have, a tied one counted once, buffers not at all.
        gate: the least coverage that was asked for.
        transferred_norms: normalisation layers all of whose running statistics are copied.
        notes: sentences the user should read.
    """

    source: str
    by: By
    pairs: tuple[Pair, ...]
    misses: tuple[Miss, ...]
    unused: tuple[str, ...]
    values: int
    gate: float
    renames: tuple[Rename, ...] = ()
    transferred_norms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def copied(self) -> int:
        """How many values of the target's parameters are copied."""
        return sum(pair.values for pair in self.pairs if not pair.is_buffer)

    @property
    def coverage(self) -> float:
        """The share of the values of the target's parameters that is copied."""
        return self.copied / self.values

    @property
    def new(self) -> tuple[str, ...]:
        """The parameters that are wholly new."""
        return tuple(miss.target for miss in self.misses if not miss.is_buffer)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `transfer.json`: one row a tensor of the target."""
        head = ("source", "by", "values", "copied", "coverage", "gate", "unused", "transferred_norms", "notes")
        summary = {key: getattr(self, key) for key in head}
        renames = [asdict(rename) for rename in self.renames]
        rows = [{"fate": "rows" if p.rows else "copied"} | asdict(p) | {"values": p.values} for p in self.pairs]
        rows += [{"fate": "new"} | asdict(miss) for miss in self.misses]
        return summary | {"renames": renames, "parameters": rows}

    def __str__(self) -> str:
        buffers = sum(pair.is_buffer for pair in self.pairs)
        lines = [
            f"source: {printable(self.source)}, paired {'in order' if self.by == 'order' else 'by name'}",
            f"{len(self.pairs)} copied: {len(self.pairs) - buffers} parameters and {buffers} buffers, "
            f"{self.copied:,} of {self.values:,} values ({self.coverage:.1%})",
            *_new_lines(self.misses),
            *_row_lines(self.pairs),
            *(f"cast: {count} from {cast}" for cast, count in Counter(p.cast for p in self.pairs if p.cast).items()),
            *(f"renamed: {rename}" for rename in self.renames),
        ]
        if self.unused:
            lines.append(f"unused in the source: {listed(self.unused)}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def listed(names: Sequence[str]) -> str:
    """Join names, the ninth and later ones as a number.

    >>> listed([f"block{i}" for i in range(10)])
    'block0, block1, block2, block3, block4, block5, block6, block7 and 2 more'
    """
    shown = ", ".join(terminal(name) or "the model itself" for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _new_lines(misses: Iterable[Miss]) -> list[str]:
    by_reason: dict[tuple[bool, str], list[Miss]] = {}
    for miss in misses:
        by_reason.setdefault((miss.is_buffer, miss.reason), []).append(miss)
    return [
        f"{'buffers kept' if is_buffer else 'new'}: {listed([m.target for m in group])} ({_explained(group)})"
        for (is_buffer, _), group in sorted(by_reason.items())
    ]


def _explained(group: Sequence[Miss]) -> str:
    first = group[0]
    if all(miss.detail == first.detail for miss in group):
        return f"{first.reason}: {first.detail}"
    return f"{first.reason}: `{terminal(first.target)}` is {first.detail}"


def _row_lines(pairs: Iterable[Pair]) -> list[str]:
    by_count: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.rows is not None:
            by_count.setdefault(f"{len(pair.rows)} of {pair.shape[0]} rows", []).append(pair.target)
    return [f"by class name: {listed(names)} ({rows})" for rows, names in by_count.items()]

"""Header of a safetensors file, read by its specification and held against the file's length before it is mapped."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tether.checkpoint.damage import damaged
from tether.errors import CheckpointError

# Of a safetensors file, by its specification; the first eight bytes of a text are a greater number.
LONGEST = 100_000_000
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
LONGEST_NAME = 1_000
LARGEST = 2**63  # what a length or a dimension of a tensor may not reach


@dataclass(frozen=True)
class Entry:
    """Where the values of one tensor lie, counted from the end of the header."""

    name: str
    start: int
    end: int


def require_header(path: Path) -> None:
    """Check that a safetensors file is as long as its header says, and every tensor as its shape says.

    Raises:
        CheckpointError: it is truncated or damaged, or something is after its end.

    """
    size = path.stat().st_size
    length, raw = _header(path, size)
    try:
        found = json.loads(raw, object_pairs_hook=_without_twins)
    except RecursionError:
        raise damaged(path, "its header is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise damaged(path, f"its header is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise damaged(path, f"its header is a {type(found).__name__}, not names")
    _require_metadata(found.pop("__metadata__", None), path)
    entries = sorted((_entry(name, about, path) for name, about in found.items()), key=lambda e: (e.start, e.end))
    _require_gapless(entries, path)
    _require_length(size, 8 + length + (entries[-1].end if entries else 0), path)


def _header(path: Path, size: int) -> tuple[int, bytes]:
    with path.open("rb") as stream:
        first = stream.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or 8 + length > size:
            needed = f"its header says {8 + length:,}" if len(first) == 8 else "a header's length alone has 8"
            raise damaged(path, f"it has {size:,} bytes, and {needed}")
        if length > LONGEST:
            raise damaged(path, f"its header would have {length:,} bytes, and {LONGEST:,} are the most")
        return length, stream.read(length)


def _without_twins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"`{name[:100]}` is there twice")
        found[name] = value
    return found


def _require_metadata(found: object, path: Path) -> None:
    if found is None or (isinstance(found, dict) and all(isinstance(value, str) for value in found.values())):
        return
    raise damaged(path, "its `__metadata__` is not texts by name")


def _entry(name: str, about: Any, path: Path) -> Entry:
    if len(name) > LONGEST_NAME:
        raise damaged(path, f"its header has the name `{name[:40]}…` of {len(name):,} characters")
    try:
        dtype, shape, (start, end) = about["dtype"], about["shape"], about["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise damaged(path, f"its header does not say dtype, shape and offsets of `{name[:100]}`") from None
    if not isinstance(shape, list) or not all(map(_is_count, (*shape, start, end))) or start > end:
        raise damaged(path, f"its header gives `{name[:100]}` the shape {shape!r:.80} at {start!r:.40} to {end!r:.40}")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise CheckpointError(
            f"`{path}`: the tensor `{name[:100]}` is of the dtype {dtype!r:.40}, which is not known here",
            why=f"known are {', '.join(BITS)}",
            fix="save it in one of these, or if a newer format has it: pip install --upgrade safetensors tether-ft",
        )
    bits = math.prod(shape) * BITS[dtype]
    if bits != 8 * (end - start):
        raise damaged(
            path,
            f"its header gives `{name[:100]}` {end - start:,} bytes, and {shape!r:.80} of {dtype} has {bits // 8:,}",
        )
    return Entry(name, start, end)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _require_gapless(entries: list[Entry], path: Path) -> None:
    end = 0
    for entry in entries:
        if entry.start != end:
            where = "overlaps another tensor" if entry.start < end else "leaves a gap before it"
            raise damaged(path, f"its header puts `{entry.name[:100]}` at {entry.start:,}, which {where}")
        end = entry.end


def _require_length(size: int, said: int, path: Path) -> None:
    if size < said:
        raise damaged(path, f"it has {size:,} bytes, its header says {said:,}: the end is missing")
    if size > said:
        raise damaged(path, f"it has {size:,} bytes, its header says {said:,}: something else is after its end")

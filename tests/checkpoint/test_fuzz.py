"""Bytes of any kind either load as what they are, or are refused in Tether's words; nothing else is raised.

`TETHER_FUZZ_SECONDS=300 pytest -s tests/checkpoint/test_fuzz.py` goes on with new bytes for that long, and tells what
it saw.
"""

import collections
import os
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint.zips import saved
from tether.checkpoint.resolve import load
from tether.errors import CheckpointError

SECONDS = float(os.environ.get("TETHER_FUZZ_SECONDS", "0"))
COUNT = 200
KINDS = ("safetensors", "zip", "legacy")
seen: collections.Counter[str] = collections.Counter()

Change = tuple[str, float, float, float]


@cache
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(3, 2, 3, 3, generator=generator),
        "conv.bias": torch.randn(3, generator=generator).to(torch.bfloat16),
        "steps": torch.tensor(7),
        "nothing": torch.ones(0, 4),
    }


@cache
def whole(kind: str) -> bytes:
    if kind == "safetensors":
        return safetensors.torch.save(tensors(), metadata={"format": "pt"})
    return saved({"state_dict": tensors(), "epoch": 3}, _use_new_zipfile_serialization=kind == "zip")


def changed(content: bytes, change: Change) -> bytes:
    """The bytes after one accident; places are shares of the length, so that a change means the same in every file."""
    what, *shares = change
    first, second, third = (int(share * len(content)) for share in shares)
    start, end = min(first, second), max(first, second)
    if what == "flip" and content:
        place = min(first, len(content) - 1)
        return content[:place] + bytes([content[place] ^ (1 << int(shares[1] * 7.99))]) + content[place + 1 :]
    if what == "set" and content:
        place = min(first, len(content) - 1)
        return content[:place] + bytes([int(shares[1] * 255)]) + content[place + 1 :]
    if what == "cut":
        return content[:start]
    if what == "drop":
        return content[:start] + content[end:]
    if what == "duplicate":
        return content[:end] + content[start:]
    if what == "zero":
        return content[:start] + bytes(end - start) + content[end:]
    other = whole(what) if what in KINDS else b""
    return content[:first] + other[int(shares[1] * len(other)) :][: max(third, 1)] + content[first:]


share = st.floats(0, 1, allow_nan=False) | st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.95, 0.99, 0.999, 1.0])
change = st.tuples(
    st.sampled_from(["flip", "flip", "set", "set", "cut", "drop", "duplicate", "zero", *KINDS]), share, share, share
)
starts = st.sampled_from(
    [b"", b"PK\x03\x04", b"\x80\x02", whole("legacy")[:15], b"{", b'{"weight_map":', b"\x20" + b"\0" * 7 + b"{"]
)


def read(content: bytes, kind: str) -> str:
    """What becomes of the bytes, and that it is right."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source"
        path.write_bytes(content)
        try:
            found = load(path)
        except CheckpointError as refusal:
            assert refusal.why and refusal.fix
            return f"{kind}: refused"
        if found.format == "safetensors":
            apart = safetensors.torch.load(content)  # the library by itself, without a mapping
        elif found.format == "torch zip":
            apart = tensors()  # every bit is under a checksum
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a protocol that is not torch's own
                apart = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        assert sorted(map(signature, found.tensors.values())) == sorted(map(signature, apart.values()))
        equal = content in map(whole, KINDS)
        return f"{kind}: {'whole' if equal else 'read with a change that the format cannot tell'}"


def signature(tensor: torch.Tensor) -> tuple[str, tuple[int, ...], bytes]:
    return str(tensor.dtype), tuple(tensor.shape), tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def run(law: object, how: st.SearchStrategy) -> None:
    """A few examples that are always the same; or new ones until the time is over."""
    if not SECONDS:
        settings(max_examples=COUNT)(given(how)(law))()
        return
    end, number = time.monotonic() + SECONDS / (len(KINDS) + 1), 0
    while time.monotonic() < end:
        number += 1
        again = settings(max_examples=500, derandomize=False)(hypothesis.seed(time.monotonic_ns())(given(how)(law)))
        again()
    print(f"\n{number} rounds: " + ", ".join(f"{name} {count:,}" for name, count in sorted(seen.items())))


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_after_accidents(kind: str) -> None:
    def law(changes: list[Change]) -> None:
        content = whole(kind)
        for each in changes:
            content = changed(content, each)
        seen[read(content, kind)] += 1

    run(law, st.lists(change, max_size=4))


@pytest.mark.timeout(SECONDS + 300)
def test_bytes_of_any_kind() -> None:
    def law(content: tuple[bytes, bytes]) -> None:
        seen[read(b"".join(content), "bytes")] += 1

    run(law, st.tuples(starts, st.binary(max_size=600)))

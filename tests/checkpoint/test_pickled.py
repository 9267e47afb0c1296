import argparse
import io
import pickle
import pickletools
from pathlib import Path

import pytest
import torch

from checkpoint.zips import contents, saved
from tether.checkpoint.pickled import read_pickle
from tether.errors import CheckpointError, UnsafeCheckpoint

PATH = Path("weights.pt")


def read(content: bytes) -> object:
    return read_pickle(io.BytesIO(content), PATH)


def test_the_storages_that_a_file_wants_are_those_that_it_has() -> None:
    shared = torch.ones(6, dtype=torch.float64)
    value = {"a": torch.ones(2, 5), "b": [shared, shared[2:4]], "c": (torch.ones(3, dtype=torch.bfloat16), {})}
    members = contents(saved(value))
    found = read_pickle(io.BytesIO(members["archive/data.pkl"]), PATH)
    sizes = {name.removeprefix("archive/data/"): len(data) for name, data in members.items() if "/data/" in name}
    assert {key: storage.size for key, storage in found.storages.items()} == sizes
    assert sorted(sizes.values()) == [6, 40, 48]


@pytest.mark.parametrize("protocol", range(6))
def test_every_name_is_told_and_none_is_looked_up(protocol: int) -> None:
    found = read_pickle(io.BytesIO(pickle.dumps(argparse.Namespace(a=1), protocol)), PATH)
    assert "argparse.Namespace" in found.names


def test_a_name_that_cannot_be_imported_is_followed_all_the_same() -> None:
    assert read_pickle(io.BytesIO(b"cnowhere\nnothing\n(S'x'\ntR."), PATH).names == ("nowhere.nothing",)


@pytest.mark.parametrize("value", [["a", "b"], ("a", ("b", 3)), "text", 3, None])
def test_plain_values_are_read(value: object) -> None:
    found = read_pickle(io.BytesIO(pickle.dumps(value, 2)), PATH)
    assert found.value == value


def test_the_next_pickle_begins_where_one_ends() -> None:
    stream = io.BytesIO(pickle.dumps(["a"], 2) + pickle.dumps(["b"], 2))
    assert [read_pickle(stream, PATH).value for _ in range(2)] == [["a"], ["b"]]


@pytest.mark.parametrize("content", [b"", b".", b"t.", b"h\x00.", b"\x80\x02", b"X\xff\xff\xff\x7fa.", b"\xff.", b"0."])
def test_one_that_cannot_be_followed_is_damaged(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}" + b")" + b"\x85" * 3_000_000 + b"K\x01s.",  # its hash overflows the stack of C
        b"\x80\x02}" + b")q\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"h\x00K\x01s.",  # its hash takes 2^60 steps
        b"\x80\x02}" + b"(" + b"K\x01" * 2_000 + b"tK\x01s.",
        b"\x80\x02](" + b"(" + b"K\x01" * 2_000 + b"te.",
        b"\x80\x02(" + b"K\x01" * 100_001 + b"t.",
    ],
    ids=["deep", "doubled", "long key", "long item", "long"],
)
def test_a_tuple_whose_hash_would_not_end_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="tuples in tuples"):
        read(content)


@pytest.mark.parametrize(
    ("content", "called"),
    [
        (b"\x80\x02c__builtin__\nbytearray\nJ\x00\x00\x00\x7f\x85R.", "bytearray"),
        (b"\x80\x02ctorch\nTensor\nM\x00\x10M\x00\x10\x86R.", "Tensor"),
        (b"\x80\x02ctorch\nFloatTensor\nM\x00\x10\x85\x81.", "FloatTensor"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "encode"),
        (b"\x80\x02c_codecs\nencode\nc_codecs\nencode\nX\x06\x00\x00\x00latin1\x86R.", "encode"),
    ],
)
def test_a_call_that_makes_more_than_the_file_holds_is_refused(content: bytes, called: str) -> None:
    pickletools.dis(content, out=io.StringIO())  # the content is a pickle
    with pytest.raises(UnsafeCheckpoint, match=called):
        read(content)


def test_bytes_and_bytearrays_of_a_file_are_no_such_call() -> None:
    for value in (b"abc", bytearray(b"abc")):
        read(pickle.dumps(value, 2))


def test_a_storage_of_two_sizes_is_refused() -> None:
    content = contents(saved({"a": torch.ones(3), "b": torch.ones(5)}))["archive/data.pkl"]
    twice = content.replace(b"X\x01\x00\x00\x001", b"X\x01\x00\x00\x000")
    assert twice != content
    with pytest.raises(CheckpointError, match="two sizes"):
        read(twice)

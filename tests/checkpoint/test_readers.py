import argparse
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from checkpoint.zips import contents, zipped
from tether.checkpoint.readers import read_index, read_safetensors, read_torch
from tether.errors import CheckpointError, TetherError, UnsafeCheckpoint
from tether.files import file_digest

MEGABYTE = 2**20
proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc to see the mapping")


def anonymous_memory():
    """Bytes of this process that no file backs."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def mapped_ranges(path):
    """Start, end and offset in the file of every mapping of `path`."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(path):
            start, end = (int(edge, 16) for edge in fields[0].split("-"))
            yield start, end, int(fields[2], 16)


def header_of(path):
    """Read the header by the specification of the format, independently of the library."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), 8 + length


class RunsCode:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


def test_safetensors_values_and_metadata(tmp_path):
    tensors = {"w": torch.randn(4, 3), "steps": torch.tensor(7), "h": torch.ones(3, dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found, metadata = read_safetensors(tmp_path / "m.safetensors")
    assert metadata == {"format": "pt"}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@proc
def test_safetensors_lie_in_the_mapping_at_their_own_offset(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.randn(50, 7), "b": torch.randn(9), "c": torch.arange(5)}, path)
    tensors, _ = read_safetensors(path)
    header, data_start = header_of(path)
    ranges = list(mapped_ranges(path))
    for name, tensor in tensors.items():
        address = tensor.data_ptr()
        start, _, offset = next(found for found in ranges if found[0] <= address < found[1])
        assert address - start + offset == data_start + header[name]["data_offsets"][0]


@proc
def test_safetensors_cost_no_memory_and_torch_files_do(tmp_path):
    size = 64 * MEGABYTE
    value = {"w": torch.zeros(size // 4)}
    save_file(value, tmp_path / "m.safetensors")
    torch.save(value, tmp_path / "m.pt")
    del value
    before = anonymous_memory()
    tensors, _ = read_safetensors(tmp_path / "m.safetensors")
    assert tensors["w"].sum() == 0
    assert anonymous_memory() - before < size / 8
    before = anonymous_memory()
    kept = read_torch(tmp_path / "m.pt")
    assert kept["w"].sum() == 0
    assert anonymous_memory() - before > size / 2


def test_a_write_to_a_mapped_tensor_never_reaches_the_file(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.zeros(1000)}, path)
    digest = file_digest(path)
    tensors, _ = read_safetensors(path)
    tensors["w"].add_(1)
    assert file_digest(path) == digest
    assert read_safetensors(path)[0]["w"].sum() == 0


@pytest.mark.parametrize("kept", [10, 60, -1])
def test_truncated_safetensors(tmp_path, kept):
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"m\.safetensors` is truncated or damaged"):
        read_safetensors(path)


@pytest.fixture
def shards(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "m-1.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "m-2.safetensors")

    def write(weight_map):
        path = tmp_path / "m.safetensors.index.json"
        path.write_text(json.dumps({"weight_map": weight_map}))
        return path

    return write


def test_a_sharded_set(shards):
    tensors, paths = read_index(shards({"b": "m-2.safetensors", "a": "m-1.safetensors"}))
    assert list(tensors) == ["b", "a"]
    assert tensors["a"].tolist() == [1, 1]
    assert [path.name for path in paths] == ["m-1.safetensors", "m-2.safetensors"]


@pytest.mark.parametrize("shard", ["../m-1.safetensors", "/etc/passwd", "sub/m-1.safetensors", "..", "", 3])
def test_a_shard_outside_the_folder_is_refused(shards, shard):
    with pytest.raises(CheckpointError, match=r"index\.json` puts `a` in"):
        read_index(shards({"a": shard}))


def test_a_missing_shard_and_a_missing_tensor(shards, tmp_path):
    with pytest.raises(CheckpointError, match=r"`m-3\.safetensors`, which is not there"):
        read_index(shards({"a": "m-3.safetensors"}))
    with pytest.raises(CheckpointError, match=r"lists `z`, which is not in `m-1\.safetensors`"):
        read_index(shards({"z": "m-1.safetensors"}))
    with pytest.raises(CheckpointError, match=r"lists `b`, which is not in `m-1\.safetensors`"):
        read_index(shards({"a": "m-1.safetensors", "b": "m-1.safetensors"}))
    torch.save({"a": torch.ones(2)}, tmp_path / "m-1.safetensors")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        read_index(shards({"a": "m-1.safetensors"}))


def test_a_tensor_of_two_shards_is_the_one_of_its_own(shards, tmp_path):
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path / "m-1.safetensors")
    tensors, _ = read_index(shards({"a": "m-1.safetensors", "b": "m-2.safetensors"}))
    assert tensors["b"].tolist() == [0, 0, 0]


def test_a_shard_that_is_a_link_elsewhere_or_a_pipe_is_refused(shards, tmp_path):
    (tmp_path / "below").mkdir()
    index = shards({"a": "m-1.safetensors"})
    moved = index.rename(tmp_path / "below" / index.name)
    shard = tmp_path / "below" / "m-1.safetensors"
    shard.symlink_to("../m-1.safetensors")
    with pytest.raises(CheckpointError, match="is a link to"):
        read_index(moved)
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(CheckpointError, match="is a named pipe"):
        read_index(moved)


@pytest.mark.parametrize("text", ['{"a": 1}', "{not json", '{"weight_map": ["a"]}', '{"weight_map": ' + "[" * 200_000])
def test_json_that_is_no_index(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match="`weight_map`"):
        read_index(tmp_path / "x.json")


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_of_both_kinds(tmp_path, zipped):
    saved = {"state_dict": {"w": torch.randn(3)}, "epoch": 4}
    torch.save(saved, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    found = read_torch(tmp_path / "m.pt")
    assert found["epoch"] == 4
    assert torch.equal(found["state_dict"]["w"], saved["state_dict"]["w"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (RunsCode(), f"{os.system.__module__}.system"),
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (np.float64(0.9), "numpy._core.multiarray.scalar"),
    ],
    ids=["system", "namespace", "module", "numpy"],
)
def test_a_pickle_that_needs_code_is_refused_by_name(tmp_path, capfd, zipped, payload, wanted):
    path = tmp_path / "m.pt"
    torch.save({"state_dict": {"w": torch.ones(1)}, "extra": payload}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpoint) as refusal:
        read_torch(path)
    assert str(path) in refusal.value.what
    assert f"`{wanted}`" in refusal.value.what
    assert "state_dict()" in refusal.value.fix
    assert capfd.readouterr().out == ""


def test_a_pickle_of_a_newer_protocol_is_told_from_a_damaged_one(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "m.pt", pickle_protocol=4)
    with pytest.raises(CheckpointError, match="pickle protocol 4"):
        read_torch(tmp_path / "m.pt")
    torch.save({"w": torch.ones(1), "n": argparse.Namespace(a=1)}, tmp_path / "m.pt", pickle_protocol=4)
    with pytest.raises(UnsafeCheckpoint, match=r"argparse\.Namespace"):
        read_torch(tmp_path / "m.pt")


def test_a_changed_bit_of_a_weight_is_found(tmp_path):
    path, value = tmp_path / "m.pt", torch.arange(100.0)
    torch.save({"w": value}, path)
    content = bytearray(path.read_bytes())
    content[content.index(value.numpy().tobytes()) + 200] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # which torch does not find
    with pytest.raises(CheckpointError, match="CRC-32"):
        read_torch(path)


def test_a_tuple_whose_hash_overflows_the_stack_does_not_end_the_process(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"w": torch.ones(1)}, path)
    pickled = b"\x80\x02}" + b")" + b"\x85" * 3_000_000 + b"K\x01s."
    path.write_bytes(zipped({**contents(path.read_bytes()), "m/data.pkl": pickled}))
    with pytest.raises(CheckpointError, match="tuples in tuples"):
        read_torch(path)


def test_sparse_and_quantised_tensors_raise_no_warning(tmp_path):
    torch.save({"s": torch.eye(3).to_sparse()}, tmp_path / "m.pt")
    assert read_torch(tmp_path / "m.pt")["s"].is_sparse


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_torch_files_are_refused_or_read_and_never_crash(tmp_path, zipped):
    path = tmp_path / "m.pt"
    torch.save({"state_dict": {"w": torch.ones(20)}}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"m\.pt`"):
            read_torch(path)
    chance = random.Random(0)
    for _ in range(200):
        changed = bytearray(whole)
        changed[chance.randrange(min(600, len(changed)))] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            read_torch(path)
        except TetherError as refusal:
            assert str(path) in refusal.what

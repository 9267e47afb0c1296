import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tether.checkpoint.header import BITS, require_header
from tether.errors import CheckpointError


def write(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def tensor(start: object = 0, end: object = 8, shape: object = (2,), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.uint16, torch.uint64),
)
TWICE = b'"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_the_library_writes_passes_in_every_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {"a": torch.ones(3, 5).to(dtype), "b": torch.ones(()).to(dtype), "c": torch.ones(0, 7).to(dtype)}
    save_file(tensors, tmp_path / "m", metadata={"format": "pt"})
    require_header(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="the end is missing"):
        require_header(tmp_path / "m")


def test_a_file_without_a_tensor_passes(tmp_path: Path) -> None:
    require_header(write(tmp_path / "m", {}))
    require_header(write(tmp_path / "m", {"__metadata__": {"a": "b"}}))


def test_how_many_bytes_there_are_and_should_be(tmp_path: Path) -> None:
    for data, said in ((bytes(7), "the end is missing"), (bytes(9), "something else is after its end")):
        path = write(tmp_path / "m", {"a": tensor()}, data)
        size = path.stat().st_size
        with pytest.raises(CheckpointError) as refusal:
            require_header(path)
        assert refusal.value.why.startswith(f"it has {size} bytes, its header says {size - len(data) + 8}: {said}")


@pytest.mark.parametrize("kept", range(8))
def test_a_file_shorter_than_a_length(tmp_path: Path, kept: int) -> None:
    (tmp_path / "m").write_bytes(bytes(kept))
    with pytest.raises(CheckpointError, match=f"it has {kept} bytes"):
        require_header(tmp_path / "m")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**12, 100_000_001, 3])
def test_a_header_longer_than_the_file_or_cut(tmp_path: Path, length: int) -> None:
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        require_header(write(tmp_path / "m", {"a": tensor()}, bytes(8), length))


def test_a_long_header_of_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"a": tensor()}, bytes(8), 10**11)
    with path.open("r+b") as stream:
        stream.truncate(2 * 10**11)
    with pytest.raises(CheckpointError, match="its header would have 100,000,000,000 bytes"):
        require_header(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"3",
        b"{",
        b"\xff{}",
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        {"a": 3},
        {"a": None},
        {"a": {"dtype": "F32", "shape": [2]}},
        {"a": tensor(0, 8, (2,)) | {"data_offsets": [0]}},
        {"a": tensor(0, 8, (2,)) | {"data_offsets": 8}},
        {"a": tensor(-8, 0)},
        {"a": tensor(8, 0)},
        {"a": tensor(0.0, 8.0)},
        {"a": tensor(0, "8")},
        {"a": tensor(shape=(-2,))},
        {"a": tensor(shape=(True, 2))},
        {"a": tensor(shape="2")},
        {"a": tensor(shape=(2**40, 2**40))},
        {"a": tensor(shape=(2**64,))},
        {"a": tensor(shape=(0, 2**70))},
        {"a": tensor(shape=(1,))},
        {"a": tensor(dtype="F31")},
        {"a": tensor(dtype=32)},
        {"a": tensor(dtype=["F32"])},
        {"a": tensor(), "b": tensor()},
        {"a": tensor(), "b": tensor(4, 12)},
        {"a": tensor(8, 16)},
        {"a": tensor(), "b": tensor(12, 20)},
        {"__metadata__": 3, "a": tensor()},
        {"__metadata__": {"a": 3}, "a": tensor()},
        {"n" * 1001: tensor()},
        b"{" + TWICE + b", " + TWICE + b"}",
    ],
    ids=lambda header: str(header)[:40],
)
def test_a_header_that_cannot_be(tmp_path: Path, header: object) -> None:
    with pytest.raises(CheckpointError, match="m`") as refusal:
        require_header(write(tmp_path / "m", header, bytes(8)))
    assert refusal.value.why and refusal.value.fix
    assert len(str(refusal.value)) < 800


def test_a_dtype_of_less_than_a_byte_is_counted_in_bits(tmp_path: Path) -> None:
    assert BITS["F4"] == 4
    require_header(write(tmp_path / "m", {"a": tensor(0, 3, (6,), "F4")}, bytes(3)))
    with pytest.raises(CheckpointError):
        require_header(write(tmp_path / "m", {"a": tensor(0, 3, (5,), "F4")}, bytes(3)))

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tether.checkpoint.container import identify
from tether.errors import CheckpointError, UnsafeCheckpoint


def written(path, content):
    path.write_bytes(content)
    return path


def numpy_bytes(save, *arrays):
    stream = io.BytesIO()
    save(stream, *arrays)
    return stream.getvalue()


def tar_bytes(name, kind):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", "weights"])
def test_content_decides_and_not_the_name(tmp_path, name):
    tensors = {"w": torch.ones(3)}
    path = tmp_path / name
    torch.save(tensors, path)
    assert identify(path) == "torch zip"
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    assert identify(path) == "torch legacy"
    save_file(tensors, path)
    assert identify(path) == "safetensors"
    path.write_text('{"weight_map": {}}')
    assert identify(path) == "safetensors index"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-LFS pointer"),
        (b"\n<!DOCTYPE html><html>404</html>", "web or XML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "web or XML page"),
        (gzip.compress(b"weights", mtime=0), "gzip-compressed"),
        (numpy_bytes(np.save, np.ones(3)), "NumPy array"),
        (numpy_bytes(np.savez, np.ones(3)), "archive of NumPy arrays"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"PK\x03\x04" + bytes(40), "truncated or damaged"),
        (bytes(257) + b"ustar" + bytes(20), "tar archive"),
        (tar_bytes("weights.pt", tarfile.USTAR_FORMAT), "tar archive"),
        (tar_bytes("weights.pt", tarfile.GNU_FORMAT), "tar archive"),
        (tar_bytes("storages", tarfile.PAX_FORMAT), "tar archive of torch before"),
        (bz2.compress(b"weights"), "bzip2-compressed"),
        (lzma.compress(b"weights"), "xz-compressed"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd-compressed"),
        (b"PK\x05\x06" + bytes(18), "empty zip"),
        (b"\xef\xbb\xbf  <!-- saved -->\n<html>", "web or XML page"),
        ((20).to_bytes(8, "big") + b"{}" + bytes(18), "truncated or damaged"),
        (b"\x80", "no checkpoint that is known"),
        (b"weights of my model", "no checkpoint that is known"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, what):
    path = written(tmp_path / "weights.pt", content)
    with pytest.raises(CheckpointError, match=what) as refusal:
        identify(path)
    assert str(path) in refusal.value.what
    assert refusal.value.why and refusal.value.fix


def test_an_onnx_graph_is_known_by_its_name(tmp_path):
    with pytest.raises(CheckpointError, match="ONNX"):
        identify(written(tmp_path / "net.onnx", b"\x08\x07\x12\x07pytorch"))


def test_a_plain_pickle_is_unsafe(tmp_path):
    with pytest.raises(UnsafeCheckpoint, match=r"`torch\.save` did not write"):
        identify(written(tmp_path / "weights.pth", pickle.dumps({"w": np.ones(3)})))


def test_a_zip_of_something_else(tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "weights")
    with pytest.raises(CheckpointError, match=r"`torch\.save` did not write"):
        identify(path)


def test_a_torchscript_archive_is_refused(tmp_path):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for member in ("net/data.pkl", "net/constants.pkl", "net/code/__torch__.py"):
            archive.writestr(member, b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        identify(path)


def test_a_folder_cannot_be_read_as_a_file(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder, not a file"):
        identify(tmp_path)


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is a named pipe"):
        identify(tmp_path / "pipe")


def test_an_index_may_begin_with_a_byte_order_mark(tmp_path):
    assert identify(written(tmp_path / "x.json", b'\xef\xbb\xbf {"weight_map": {}}')) == "safetensors index"

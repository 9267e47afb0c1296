"""The weights of a small network in every format, made once, and the commands that read a source."""

import io
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from tether.models.digits_cnn import DigitsCNN


@cache
def tensors() -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(DigitsCNN(num_classes=10).state_dict())


@cache
def safetensors() -> bytes:
    return save(tensors())


def torch_file(value: object = None, **how: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(tensors() if value is None else value, stream, **how)
    return stream.getvalue()


@cache
def torch_zip() -> bytes:
    return torch_file()


@cache
def torch_legacy() -> bytes:
    return torch_file(_use_new_zipfile_serialization=False)


def members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return {name: read.read(name) for name in read.namelist()}


def zipped(files: Mapping[str, bytes], *more: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as written:
        warnings.simplefilter("ignore")  # that a name is there twice
        for name, content in (*files.items(), *more):
            written.writestr(name, content)
    return stream.getvalue()


def parts() -> tuple[dict[str, Any], bytes]:
    """The header and the data of the safetensors file."""
    content = safetensors()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def match(source: object, *words: object) -> list[object]:
    return ["match", source, "--into", "digits-cnn", "--classes", 10, *words]


def given(content: bytes, folder: Path, name: str = "source.pt") -> list[object]:
    (folder / name).write_bytes(content)
    return match(folder / name)


class Runs:
    """An object whose pickle makes the canary when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.canary),)  # what a pickle can call by itself

"""Archives of `torch.save` taken apart and put together again with something changed."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import torch


def saved(value: object, **how: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **how)
    return stream.getvalue()


def contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return {name: read.read(name) for name in read.namelist()}


def zipped(members: Mapping[str, bytes], *more: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as written:
        warnings.simplefilter("ignore")
        for name, content in (*members.items(), *more):
            written.writestr(name, content)
    return stream.getvalue()

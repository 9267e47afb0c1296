"""Read tensors from files: safetensors mapped, torch files without running code."""

import json
import pickle
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tether.checkpoint.container import SAVE_PARAMETERS, damaged, identify
from tether.errors import CheckpointError, UnsafeCheckpoint

WANTED = re.compile(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)")


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Map a safetensors file: its tensors, and its metadata.

    The tensors are views of one private mapping of the file. They take no memory of their own until they are written
    to, and such a write stays in memory.

    Raises:
        CheckpointError: the file is truncated or damaged.

    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise damaged(path, str(error)) from None


def read_index(path: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """Map the shards that a `model.safetensors.index.json` names: their tensors, and their paths.

    Raises:
        CheckpointError: the JSON is no index, names a file outside its folder, or a shard or a tensor is missing.

    """
    weight_map = _weight_map(path)
    shards = [path.parent / name for name in sorted(set(weight_map.values()))]
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        _require_shard(path, shard)
        tensors |= read_safetensors(shard)[0]
    missing = sorted(weight_map.keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"`{path}` lists `{missing[0]}`, which is in none of its {len(shards)} shards")
    return {name: tensors[name] for name in weight_map}, shards


def _weight_map(path: Path) -> dict[str, str]:
    try:
        weight_map = dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"`{path}` is not an index of shards: its `weight_map` cannot be read",
            why=f"{type(error).__name__}: {error}",
        ) from None
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or Path(shard).name != shard or shard in ("", ".."):
            raise CheckpointError(
                f"`{path}` puts `{tensor}` in `{shard}`",
                why="a shard is a file of the same folder, named without a path",
            )
    return weight_map


def _require_shard(path: Path, shard: Path) -> None:
    if not shard.is_file():
        raise CheckpointError(f"`{path}` names `{shard.name}`, which is not there", fix="download every shard")
    if identify(shard) != "safetensors":
        raise CheckpointError(f"`{shard}` is not a safetensors file", why=f"`{path}` names it as a shard")


def read_torch(path: Path) -> object:
    """Read a file of `torch.save`, of the zip or the legacy kind, on the CPU and without running its code.

    Raises:
        UnsafeCheckpoint: it names a class or a function that would have to be run.
        CheckpointError: it is truncated or damaged.

    """
    try:
        # Given a path, torch.load decides by its extension.
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = WANTED.search(str(error))
        raise (_unsafe(path, wanted[1]) if wanted else damaged(path, "its pickle cannot be followed")) from error
    except Exception as error:
        # A damaged pickle fails in whatever way its next opcode does: KeyError, IndexError, struct.error, …
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def _unsafe(path: Path, wanted: str) -> UnsafeCheckpoint:
    return UnsafeCheckpoint(
        f"`{path}` holds more than tensors: it wants `{wanted}`",
        why="reading it would run that code, and Tether runs none that comes with a file",
        fix=SAVE_PARAMETERS,
    )

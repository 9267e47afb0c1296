"""Read tensors from files: safetensors mapped, torch files without running code."""

import json
import pickle
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tether.checkpoint.container import TORCH_LEGACY, identify
from tether.checkpoint.damage import SAVE_PARAMETERS, damaged
from tether.checkpoint.header import require_header
from tether.checkpoint.pickled import Pickled
from tether.checkpoint.saved import check_archive, check_legacy
from tether.checkpoint.within import require_within
from tether.errors import CheckpointError, UnsafeCheckpoint
from tether.memory import is_out_of_memory
from tether.regular import require_regular

LARGEST_INDEX = 100_000_000
SEPARATORS = {"/", "\\", "\0"}
WANTED = re.compile(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)")
PROTOCOL = 2  # of the pickles that torch reads without running them
HARMLESS = ("torch.", "collections.", "_codecs.", "__builtin__.", "builtins.")


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Map a safetensors file: its tensors, and its metadata.

    The tensors are views of one private mapping of the file. They take no memory of their own until they are written
    to, and such a write stays in memory.

    Raises:
        CheckpointError: the file is truncated or damaged.

    """
    try:
        require_header(path)
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        # Beside SafetensorError, a dtype that this torch lacks fails as an attribute of it.
        if is_out_of_memory(error):
            raise
        raise damaged(path, f"{type(error).__name__}: {error}") from None


def read_index(path: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """Map the shards that a `model.safetensors.index.json` names: their tensors, and their paths.

    Raises:
        CheckpointError: the JSON is no index, names a file outside its folder, or a shard or a tensor is missing.

    """
    weight_map = _weight_map(path)
    read: dict[str, dict[str, Tensor]] = {}
    for name in sorted(set(weight_map.values())):
        _require_shard(path, path.parent / name)
        read[name] = read_safetensors(path.parent / name)[0]
    for name, shard_name in weight_map.items():
        if name not in read[shard_name]:
            raise CheckpointError(
                f"`{path}` lists `{name}`, which is not in `{shard_name}`",
                why="an index names the shard of each tensor",
                fix="download the index and every shard again, of one version",
            )
    return {name: read[shard_name][name] for name, shard_name in weight_map.items()}, [
        path.parent / name for name in read
    ]


def _weight_map(path: Path) -> dict[str, str]:
    require_regular(path, CheckpointError, most=LARGEST_INDEX)
    try:
        weight_map = dict(json.loads(path.read_text(encoding="utf-8-sig"))["weight_map"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"`{path}` is not an index of shards: its `weight_map` cannot be read",
            why=f"{type(error).__name__}: {str(error)[:200]}",
            fix="give a safetensors file, or the `model.safetensors.index.json` beside its shards",
        ) from None
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or shard in ("", ".", "..") or not SEPARATORS.isdisjoint(shard):
            raise CheckpointError(
                f"`{path}` puts `{tensor}` in `{str(shard)[:200]}`",
                why="a shard is a file of the same folder, named without a path",
                fix="download the index and every shard again",
            )
    return weight_map


def _require_shard(path: Path, shard: Path) -> None:
    if not shard.is_file():
        require_regular(shard, CheckpointError)
        raise CheckpointError(
            f"`{path}` names `{shard.name}`, which is not there",
            why="an index names every shard, and all are read",
            fix="download every shard",
        )
    require_within(shard, path.parent)
    if identify(shard) != "safetensors":
        raise CheckpointError(
            f"`{shard}` is not a safetensors file",
            why=f"`{path}` names it as a shard",
            fix="give its index of safetensors shards, or join the shards into one file of `torch.save`",
        )


def read_torch(path: Path) -> object:
    """Read a file of `torch.save`, of the zip or the legacy kind, on the CPU and without running its code.

    Raises:
        UnsafeCheckpoint: it names a class or a function that would have to be run.
        CheckpointError: it is truncated or damaged.

    """
    pickled = _check(path)
    try:
        # Given a path, torch.load decides by its extension.
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = WANTED.search(str(error))
        raise (_unsafe(path, wanted[1]) if wanted else _unread(path, pickled)) from error
    except Exception as error:
        # A damaged pickle fails in whatever way its next opcode does: KeyError, IndexError, struct.error, …
        if is_out_of_memory(error):
            raise
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def _check(path: Path) -> Pickled:
    require_regular(path, CheckpointError)
    try:
        with path.open("rb") as stream:
            legacy = stream.read(len(TORCH_LEGACY)) == TORCH_LEGACY
        return check_legacy(path) if legacy else check_archive(path)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def _unread(path: Path, pickled: Pickled) -> CheckpointError:
    """What torch does not read without running it: an older or a newer protocol, or one of its own that is damaged."""
    foreign = [name for name in pickled.names if not name.startswith(HARMLESS)]
    if foreign:
        return _unsafe(path, foreign[0])
    if pickled.protocol > PROTOCOL:
        return CheckpointError(
            f"`{path}` was written with pickle protocol {pickled.protocol}",
            why=f"torch reads protocol {PROTOCOL} without running code, and no other",
            fix=f"write it again with `torch.save(..., pickle_protocol={PROTOCOL})`, which is what it does by itself",
        )
    return damaged(path, "its pickle cannot be followed")


def _unsafe(path: Path, wanted: str) -> UnsafeCheckpoint:
    return UnsafeCheckpoint(
        f"`{path}` holds more than tensors: it wants `{wanted}`",
        why="reading it would run that code, and Tether runs none that comes with a file",
        fix=SAVE_PARAMETERS,
    )

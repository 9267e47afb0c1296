"""From what the user names as a source to a Checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from tether.checkpoint.catalog import sources
from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.container import identify
from tether.checkpoint.description import Description, read_description
from tether.checkpoint.folder import WEIGHTS, require_run
from tether.checkpoint.nesting import bare_names, model_tensors, unwrap
from tether.checkpoint.readers import read_index, read_safetensors, read_torch
from tether.checkpoint.zoo import from_timm
from tether.errors import CheckpointError
from tether.files import MANIFEST, file_digest
from tether.registry import did_you_mean, refuse_ambiguous
from tether.regular import require_regular

LARGEST_MANIFEST = 100_000_000


def load(source: str | Path | nn.Module | Mapping[str, Tensor]) -> Checkpoint:
    """Load a source: a catalogued name, `timm:NAME`, a run folder, a file, a model, or tensors by name.

    A string is looked up in that order, so a folder called as a catalogued source is given as `./NAME`. The tensors of
    a model or a mapping are copied, so that training the model further does not move its checkpoint.

    Raises:
        CheckpointError: nothing is there, or it holds no usable parameters.
        UnsafeCheckpoint: reading it would run code.
        MissingExtra: the source comes with an optional dependency that is not installed.

    >>> checkpoint = load(nn.Sequential(nn.Linear(3, 2)))
    >>> sorted(checkpoint.tensors)
    ['0.bias', '0.weight']

    """
    if isinstance(source, nn.Module):
        return _from_module(source)
    if isinstance(source, Mapping):
        return _from_mapping(source)
    if isinstance(source, str) and source in sources:
        refuse_ambiguous(source, "a catalogued source")
        return _from_catalogue(source)
    if isinstance(source, str) and source.startswith("timm:"):
        return from_timm(source.removeprefix("timm:"))
    return _from_path(Path(source).expanduser(), str(source))


def _from_module(model: nn.Module) -> Checkpoint:
    origin = f"the model {type(model).__name__}"
    return Checkpoint(origin, _copied(model_tensors(model, origin)), path=None, format="module")


def _from_mapping(tensors: Mapping[str, Tensor]) -> Checkpoint:
    origin = "the mapping of tensors"
    found = unwrap(tensors, origin)
    return Checkpoint(
        origin,
        _copied(found.tensors),
        path=None,
        format="mapping",
        entry=found.entry,
        prefix=found.prefix,
        others=found.others,
    )


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _from_catalogue(name: str) -> Checkpoint:
    source = sources[name]
    found = _from_path(source.find(), name)
    return replace(
        found,
        by=source.by,
        preprocessing=found.preprocessing or source.preprocessing,
        model=found.model or source.model,
    )


def _from_path(path: Path, origin: str) -> Checkpoint:
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise _nothing_there(origin, error) from None
    if path.is_dir():
        return _from_folder(path, origin)
    container = identify(path)
    if container == "safetensors":
        return _from_safetensors(path, origin)
    return _from_index(path, origin) if container == "safetensors index" else _from_torch(path, origin, container)


def _from_folder(folder: Path, origin: str) -> Checkpoint:
    require_run(folder)
    if (container := identify(folder / WEIGHTS)) != "safetensors":
        raise CheckpointError(
            f"`{folder / WEIGHTS}` is not a safetensors file but one of the kind {container}",
            why="a run of Tether writes its weights as safetensors",
            fix="give the file itself, if its weights are meant as a source",
        )
    found = _from_safetensors(folder / WEIGHTS, origin)
    if (folder / MANIFEST).exists():
        _require_listed(folder / MANIFEST, found)
    return found


def _require_listed(manifest: Path, found: Checkpoint) -> None:
    require_regular(manifest, CheckpointError, most=LARGEST_MANIFEST)
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))["files"][WEIGHTS]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"`{manifest}` gives no SHA-256 of `{WEIGHTS}`",
            why=f"{type(error).__name__}: {error}",
            fix="copy the run folder again from where it was made",
        ) from None
    if listed != found.digest:
        raise CheckpointError(
            f"`{found.path}` is not the file that its run wrote",
            why=f"its SHA-256 is {found.digest}, and `{MANIFEST}` says {listed}",
            fix="copy the run folder again from where it was made",
        )


def _from_safetensors(path: Path, origin: str) -> Checkpoint:
    digest = file_digest(path)
    tensors, metadata = read_safetensors(path)
    written = read_description(metadata, path)
    about = written or Description()
    # What Tether wrote has its model's own names.
    names, prefix = (tensors, None) if written else bare_names(tensors, f"`{path}`")
    return Checkpoint(
        origin,
        names,
        path,
        "safetensors",
        prefix=prefix,
        digest=digest,
        files={path.absolute(): digest},
        mapped=True,
        classes=about.classes,
        preprocessing=about.preprocessing,
        model=about.model,
    )


def _from_index(path: Path, origin: str) -> Checkpoint:
    tensors, shards = read_index(path)
    names, prefix = bare_names(tensors, f"`{path}`")
    digests = {shard.absolute(): file_digest(shard) for shard in shards}
    return Checkpoint(
        origin, names, path, "safetensors", prefix=prefix, digest=file_digest(path), files=digests, mapped=True
    )


def _from_torch(path: Path, origin: str, container: Literal["torch zip", "torch legacy"]) -> Checkpoint:
    digest = file_digest(path)
    found = unwrap(read_torch(path), f"`{path}`")
    _require_backed(found.tensors, path)
    return Checkpoint(
        origin,
        found.tensors,
        path,
        container,
        entry=found.entry,
        prefix=found.prefix,
        others=found.others,
        digest=digest,
        files={path.absolute(): digest},
    )


def _require_backed(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a tensor of more values than the file has bytes for: one value repeated, which a copy would write out."""
    size = path.stat().st_size
    for name, value in tensors.items():
        if value.numel() * value.element_size() > size:
            raise CheckpointError(
                f"`{path}`: the tensor `{name}` of {tuple(value.shape)} is greater than the file",
                why="it repeats values that are there once, and a copy of it could fill the memory",
                fix="save it as a plain, dense tensor: `tensor.contiguous()`",
            )


def _nothing_there(origin: str, error: OSError | ValueError) -> CheckpointError:
    return CheckpointError(
        f"there is no source `{origin}`",
        why=(error.strerror or "") if isinstance(error, OSError) else str(error),
        fix=f"{did_you_mean(origin, sources)} (a file, a run folder or `timm:NAME` will do too)",
    )

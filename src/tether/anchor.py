"""Anchor: what each parameter is held to, and which parameters are new."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tether.errors import CheckpointError, MatchError
from tether.files import file_digest, write_durably
from tether.params.norms import norm_layers
from tether.params.select import aliases, parameters, select
from tether.params.shards import local, sharded
from tether.regular import require_regular


@dataclass(frozen=True, eq=False)
class Anchor:
    """The source values of a model's transferred parameters, and the names of its new ones.

    Args:
        references: source value by canonical name, each of its parameter's shape; a wholly new parameter has none, and
            the new rows of a partly new one are not read.
        new: canonical name → None where all of the parameter is new, else a mask over its rows, true where new.
        norms: the normalisation layers whose running statistics are the source's.
        mapped: names whose reference is mapped from a file, which costs no memory.
        files: the mapped files and their SHA-256, checked again before a tether is attached.

    Raises:
        MatchError: a name is both new and referenced, or a mask does not fit.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    >>> anchor = Anchor.of(model, new="1.*")
    >>> sorted(anchor.references), sorted(anchor.new)
    (['0.bias', '0.weight'], ['1.bias', '1.weight'])

    """

    references: Mapping[str, Tensor]
    new: Mapping[str, Bool[Tensor, " rows"] | None]
    norms: tuple[str, ...] = ()
    mapped: frozenset[str] = frozenset()
    files: Mapping[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, mask in self.new.items():
            if mask is None and name in self.references:
                raise MatchError(
                    f"`{name}` is new and has a source value",
                    why="a new parameter is held to zero or to nothing, never to a source",
                    fix="leave it out of one of the two",
                )
            if mask is not None and (name not in self.references or mask.shape != self.references[name].shape[:1]):
                raise MatchError(
                    f"the row mask of `{name}` does not fit its reference",
                    why="a mask has a value for each row of a reference that is there",
                    fix="take the anchor from the model again: Anchor.of(model, new=…) or tether.transfer(…)",
                )

    @classmethod
    def of(cls, model: nn.Module, *, new: str | Iterable[str] = ()) -> "Anchor":
        """Take the model as it stands as the source; parameters that match the globs `new` are new.

        Raises:
            NoParameterSelected: a glob matches nothing.

        """
        names = aliases(model)
        globs = [new] if isinstance(new, str) else list(new)
        fresh = {name for glob in globs for name in select(glob, names, argument="new")}
        held = {name: p.detach().clone() for name, p in parameters(model).items() if name not in fresh}
        own = {name for name, layer in norm_layers(model).items() if not _parameters_of(name, layer) & fresh}
        return cls(held, dict.fromkeys(sorted(fresh)), tuple(sorted(own)))

    @classmethod
    def load(cls, path: Path | str) -> "Anchor":
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is absent or no anchor.

        """
        require_regular(path, CheckpointError)
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
                new = {name: None if rows is None else set(rows) for name, rows in json.loads(about["new"]).items()}
                norms = tuple(json.loads(about["norms"]))
            masks = {name: None if rows is None else _mask(rows, len(held[name])) for name, rows in new.items()}
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"`{path}` holds no anchor",
                why=f"{type(error).__name__}: {error}",
                fix="give a file that Anchor.save wrote, such as a run's `reference.safetensors`, or copy it again",
            ) from None
        return cls(held, masks, norms)

    def save(self, path: Path | str) -> None:
        """Write the references, and what is new, into one safetensors file.

        Raises:
            MatchError: each process holds but a part of a reference.
            MachineError: the disk is full, read-only or broken.

        """
        rows = {
            name: None if mask is None else torch.nonzero(mask).flatten().tolist() for name, mask in self.new.items()
        }
        self._refuse_sharded()
        held = {name: value.detach().cpu().contiguous().clone() for name, value in self.references.items()}
        write_durably(Path(path), save(held, metadata={"new": json.dumps(rows), "norms": json.dumps(self.norms)}))

    @property
    def digest(self) -> str:
        """SHA-256 of every reference and of what is new.

        Raises:
            MatchError: each process holds but a part of a reference.

        """
        self._refuse_sharded()
        found = hashlib.sha256()
        for name, value in sorted(self.references.items()):
            found.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
            found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, mask in sorted(self.new.items()):
            found.update(f"{name} {None if mask is None else mask.tolist()};".encode())
        return found.hexdigest()

    def verify(self) -> None:
        """Check that no mapped file has changed since it was read.

        Raises:
            MatchError: one has; the reference would be other than what was transferred.

        """
        verify(self.files)

    def apart_from(self, named: Mapping[str, nn.Parameter]) -> "Anchor":
        """The same with a copy of each reference that is a parameter's own memory, and would move with it."""
        shared = {
            name: value.clone()
            for name, value in self.references.items()
            if name in named and _memory(value) == _memory(named[name]) != 0
        }
        return replace(self, references={**self.references, **shared}) if shared else self

    def copied(self) -> "Anchor":
        """The same anchor with every reference in memory."""
        references = {name: value.clone() for name, value in self.references.items()}
        return Anchor(references, self.new, self.norms)

    def _refuse_sharded(self) -> None:
        name = next((name for name, value in self.references.items() if sharded(value)), None)
        if name is not None:
            raise MatchError(
                f"the reference of `{name}` is sharded, and each process holds but a part of it",
                why="a digest or a file of a part would pass for that of the whole",
                fix="take the anchor before `fully_shard`, and make the tether after it",
            )

    def __str__(self) -> str:
        rows = [name for name, mask in self.new.items() if mask is not None]
        held = sum(value.numel() for value in self.references.values())
        text = f"anchor: {len(self.references)} parameters with a source value ({held:,} values)"
        if self.mapped:
            text += f", {len(self.mapped)} mapped from file"
        whole = len(self.new) - len(rows)
        if whole:
            text += f" · {whole} new, toward zero or free"
        return text + (f" · new rows in {len(rows)}" if rows else "")


def verify(files: Mapping[Path, str]) -> None:
    """Check that files that references are mapped from have the SHA-256 they had.

    Raises:
        MatchError: one has not.

    """
    for path, digest in files.items():
        if not path.exists() or file_digest(path) != digest:
            raise MatchError(
                f"`{path}` has changed since its parameters were transferred",
                why="the reference is mapped from this file, so the penalty would pull somewhere else",
                fix="transfer again from the file as it is now",
            )


def _memory(tensor: Tensor) -> int:
    return local(tensor.detach()).untyped_storage().data_ptr()


def _parameters_of(name: str, layer: nn.Module) -> set[str]:
    return {f"{name}.{own}" if name else own for own, _ in layer.named_parameters(recurse=False)}


def _mask(rows: set[int], count: int) -> Tensor:
    return torch.tensor([row in rows for row in range(count)], dtype=torch.bool)

"""Checkpoint: source parameters by name, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from tether.checkpoint.nesting import shared_prefix
from tether.errors import CheckpointError
from tether.escaping import printable, terminal
from tether.spec import ModelSpec, PreprocessingSpec

Format = Literal["safetensors", "torch zip", "torch legacy", "module", "mapping"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Parameters and buffers of a source, by bare name.

    Nothing else writes to the tensors: they are views of a mapped file, or in memory for this checkpoint alone.

    Args:
        origin: the source as it was given.
        entry: where in the file the tensors were, such as `state_dict`.
        prefix: what was taken off the front of the names, such as `module.`.
        others: entries of the file with further tensors, which were left, averaged weights among them.
        digest: SHA-256 of the file; of an index where there are shards.
        files: every file the tensors are read from, and its SHA-256.
        mapped: the tensors are views of the memory-mapped safetensors files.
        by: how the catalogue says to pair them with the target.

    Raises:
        CheckpointError: there is no tensor.

    >>> from torch import ones
    >>> tensors = {"conv.weight": ones(4, 3, 3, 3), "fc.bias": ones(2)}
    >>> print(Checkpoint("my tensors", tensors, path=None, format="mapping"))
    checkpoint: my tensors (mapping)
    tensors: 2 (110 values, float32)
    classes: not known
    preprocessing: not known

    """

    origin: str
    tensors: Mapping[str, Tensor]
    path: Path | None
    format: Format
    entry: str | None = None
    prefix: str | None = None
    others: tuple[str, ...] = ()
    digest: str | None = None
    files: Mapping[Path, str] = field(default_factory=dict)
    mapped: bool = False
    classes: tuple[str, ...] | None = None
    preprocessing: PreprocessingSpec | None = None
    model: ModelSpec | None = None
    by: Literal["name", "order"] = "name"

    def __post_init__(self) -> None:
        if not self.tensors:
            raise CheckpointError(
                f"`{self.origin}` holds no tensor",
                why="a source is parameters by name",
                fix='`torch.save(model.state_dict(), "weights.pt")` makes one',
            )

    def __str__(self) -> str:
        lines = [f"checkpoint: {printable(self.origin)} ({self.format}{', mapped' if self.mapped else ''})"]
        if self.path is not None:
            lines.append(
                f"file: {printable(str(self.path))}" + (f" · sha256 {self.digest[:12]}…" if self.digest else "")
            )
        lines += [self._tensor_line(), *self._name_lines()]
        if self.model is not None:
            lines.append(f"model: {terminal(self.model.name)}")
        lines += [f"classes: {_listed(self.classes)}", f"preprocessing: {_described(self.preprocessing)}"]
        if self.by == "order":
            lines.append("pairing: in order, since its names are not the target's")
        return "\n".join(lines)

    def _tensor_line(self) -> str:
        values = sum(tensor.numel() for tensor in self.tensors.values())
        dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in self.tensors.values()})
        return f"tensors: {len(self.tensors)} ({values:,} values, {', '.join(dtypes)})"

    def _name_lines(self) -> list[str]:
        taken = [
            f"{what} `{terminal(name)}`"
            for what, name in (("entry", self.entry), ("prefix", self.prefix))
            if name is not None
        ]
        lines = [f"taken off: {', '.join(taken)}"] if taken else []
        if shared := shared_prefix(self.tensors):
            lines.append(f"every name starts with `{terminal(shared)}`, which was left on")
        if self.others:
            lines.append(f"there too, and not read: {', '.join(f'`{terminal(name)}`' for name in self.others)}")
        return lines


def _listed(classes: tuple[str, ...] | None) -> str:
    if classes is None:
        return "not known"
    shown = ", ".join(map(terminal, classes[:8]))
    return f"{len(classes)} ({shown}{', …' if len(classes) > 8 else ''})"


def _described(preprocessing: PreprocessingSpec | None) -> str:
    settings = {} if preprocessing is None else preprocessing.model_dump(exclude_none=True)
    return " · ".join(f"{name} {_short(value)}" for name, value in settings.items()) or "not known"


def _short(value: object) -> str:
    return " ".join(f"{item:g}" for item in value) if isinstance(value, tuple) else terminal(str(value))

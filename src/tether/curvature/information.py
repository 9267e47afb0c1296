"""Fisher: a diagonal Fisher information by parameter, with how it was made; written to and read from one file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tether.errors import CheckpointError
from tether.files import write_durably

KEY = "fisher"
MOST_PARTS = 12
NEXT_TO_ZERO = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Fisher(Mapping[str, Tensor]):
    """A diagonal Fisher information: a non-negative tensor for each parameter, by canonical name.

    Args:
        tensors: each of its parameter's shape.
        kind: `exact`, `sampled` or `empirical`.
        count: of how many samples it is the mean.
        floor: what was added to every value.
        scale: the mean over all values, by which they were divided before the floor; 1 where they were not.
        origin: what the samples were, in words.
        draws: how many classes were drawn for each sample where the kind is `sampled`.

    >>> print(Fisher({"head.weight": torch.tensor([0.0, 0.5])}, "exact", 7, floor=0.0, scale=1.0))
    fisher: exact, diagonal, mean over 7 samples, no floor
    whole: mean 0.25, median 0, largest 0.5, 50% next to 0
    head: mean 0.25, median 0, largest 0.5, 50% next to 0

    """

    tensors: Mapping[str, Float[Tensor, "..."]]
    kind: str
    count: int
    floor: float
    scale: float
    origin: str = "samples"
    draws: int = 1

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def save(self, path: Path | str) -> None:
        """Write it as safetensors, with its description in the metadata.

        Raises:
            MachineError: the disk is full, read-only or broken.

        """
        about = {
            "kind": self.kind,
            "count": self.count,
            "floor": self.floor,
            "scale": self.scale,
            "origin": self.origin,
            "draws": self.draws,
        }
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in self.tensors.items()}
        write_durably(Path(path), save(tensors, metadata={KEY: json.dumps(about)}))

    @classmethod
    def load(cls, path: Path | str) -> "Fisher":
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is absent, no safetensors, or no Fisher information.

        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})[KEY])
                values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            return cls(values, **about)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            why = f"its metadata has no `{KEY}`" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(
                f"`{path}` holds no Fisher information", why=why, fix="write it with `Fisher.save`"
            ) from None

    def __str__(self) -> str:
        """How it was made, and a line for the whole and for each part; next to 0 is a millionth of the part's largest.

        The floor counts as 0.
        """
        kind = f"{self.kind} of {self.draws} draws" if self.draws > 1 else self.kind
        scaled = f", divided by its mean {self.scale:.3g}" if self.scale != 1 else ""
        floor = f"floor {self.floor:g} added" if self.floor else "no floor"
        parts = self._parts()
        lines = [f"fisher: {kind}, diagonal, mean over {self.count} {self.origin}{scaled}, {floor}"]
        lines.append(f"whole: {self._described(list(self.tensors.values()))}")
        lines += [f"{part}: {self._described(tensors)}" for part, tensors in list(parts.items())[:MOST_PARTS]]
        if len(parts) > MOST_PARTS:
            lines.append(f"… and {len(parts) - MOST_PARTS} more parts")
        return "\n".join(lines)

    __repr__ = __str__

    def _described(self, tensors: list[Tensor]) -> str:
        flat = torch.cat([tensor.flatten().double().cpu() for tensor in tensors])
        above = flat - float(torch.tensor(self.floor, dtype=tensors[0].dtype))
        small = float((above <= NEXT_TO_ZERO * above.max()).double().mean())
        return f"mean {flat.mean():.3g}, median {flat.median():.3g}, largest {flat.max():.3g}, {small:.0%} next to 0"

    def _parts(self) -> dict[str, list[Tensor]]:
        parts: dict[str, list[Tensor]] = {}
        for name, value in self.tensors.items():
            parts.setdefault(name.rpartition(".")[0] or name, []).append(value)
        return parts

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

from tether.errors import CheckpointError, DataError
from tether.files import write_durably

KEY = "fisher"
MOST_PARTS = 12


@dataclass(frozen=True, eq=False, repr=False)
class Fisher(Mapping[str, Tensor]):
    """A diagonal Fisher information: a non-negative tensor for each parameter, by canonical name.

    Args:
        tensors: each of its parameter's shape.
        kind: `exact`, `sampled` or `empirical`.
        count: of how many samples it is the mean.
        floor: what was added to every value.
        scale: the mean over all values, by which they were divided; 1 where they were not.
        origin: what the samples were, in words.

    """

    tensors: Mapping[str, Float[Tensor, "..."]]
    kind: str
    count: int
    floor: float
    scale: float
    origin: str = "samples"

    @classmethod
    def of(cls, values: Mapping[str, Tensor], *, kind: str, count: int, floor: float, normalise: bool) -> "Fisher":
        """Divide by the mean where that is wanted, then add the floor.

        Raises:
            DataError: everything is zero, so that nothing can be divided by the mean.

        """
        total = sum(float(value.sum()) for value in values.values())
        scale = total / sum(value.numel() for value in values.values()) if normalise else 1.0
        if scale == 0:
            raise DataError(
                "the Fisher information is zero everywhere and cannot be normalised",
                why="the model is certain of every sample" if kind != "empirical" else "the model fits every sample",
                fix='kind="exact", other samples, or normalise=False with a floor',
            )
        return cls({name: (v / scale + floor).float() for name, v in values.items()}, kind, count, floor, scale)

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
                about = json.loads((file.metadata() or {}).get(KEY, "null"))
                values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            return cls(values, **about)
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"`{path}` holds no Fisher information", why=str(error), fix="write it with `Fisher.save`"
            ) from None

    def __str__(self) -> str:
        about = f"floor {self.floor:g} added" if self.floor else "no floor"
        scaled = f", divided by its mean {self.scale:.3g}" if self.scale != 1 else ""
        lines = [f"fisher: {self.kind}, diagonal, mean over {self.count} {self.origin}{scaled}, {about}"]
        for part, tensors in list(self._parts().items())[:MOST_PARTS]:
            flat = torch.cat([tensor.flatten().double() for tensor in tensors])
            low, high = flat.median(), flat.max()
            small = float((flat <= self.floor + 1e-6 * high).double().mean())
            lines.append(f"{part}: mean {flat.mean():.3g}, median {low:.3g}, largest {high:.3g}, {small:.0%} next to 0")
        return "\n".join(lines)

    __repr__ = __str__

    def _parts(self) -> dict[str, list[Tensor]]:
        parts: dict[str, list[Tensor]] = {}
        for name, value in self.tensors.items():
            parts.setdefault(name.rpartition(".")[0] or name, []).append(value)
        return parts

"""ImageTask: the batches of labelled pictures that one run trains and is measured on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from tether.data.augment import augment, margin
from tether.data.images import Images, normalise
from tether.data.order import epoch_order
from tether.data.pictures import Pictures
from tether.data.split import Split
from tether.spec import RunSpec

Part = Literal["train", "validation", "test"]
Batch = tuple[Float32[Tensor, "n channels size size"], Int64[Tensor, " n"]]
EVALUATION_BATCH = 64


def steps_per_epoch(spec: RunSpec, pictures: int) -> int:
    """Whole batches; one smaller batch where there is not even one whole."""
    return max(1, pictures // spec.train.batch_size)


@dataclass(frozen=True, eq=False)
class ImageTask:
    """Pictures, their split, and batches that are a pure function of (seed, epoch, index).

    Args:
        spec: a spec whose preprocessing and augmentation are settled.

    """

    spec: RunSpec
    pictures: Pictures
    split: Split
    training: Images

    @classmethod
    def of(cls, spec: RunSpec, pictures: Pictures, split: Split) -> "ImageTask":
        """Decode the training pictures."""
        kind = spec.data.augment or "none"
        return cls(spec, pictures, split, Images(pictures, split.train, spec.preprocessing, margin=margin(kind)))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return steps_per_epoch(self.spec, len(self.split.train))

    def chosen(self, epoch: int) -> list[Int64[np.ndarray, " n"]]:
        """Which pictures are in each batch of an epoch; what does not fill a last batch is left to other epochs."""
        order = self.split.train[epoch_order(len(self.split.train), self.spec.seed, epoch)]
        size = self.spec.train.batch_size
        return [order[step * size : (step + 1) * size] for step in range(self.steps_per_epoch)]

    def batches(self, epoch: int, start: int = 0, share: slice = slice(None)) -> Iterator[Batch]:
        """The training batches of one epoch, augmented.

        Args:
            start: how many batches to leave out, as when a run goes on.
            share: which pictures of each batch, where several processes share them.
        """
        for whole in self.chosen(epoch)[start:]:
            indices = whole[share]
            shown = augment(
                self.training.batch(indices),
                self.spec.data.augment or "none",
                seed=self.spec.seed,
                epoch=epoch,
                indices=indices,
                size=self.spec.preprocessing.size,
            )
            yield self._tensors(shown, indices)

    def still(self, part: Part) -> Iterator[Batch]:
        """The pictures of a part in order, as they are."""
        indices = getattr(self.split, part)
        yield from still_batches(self.pictures, indices, self.spec)

    def _tensors(self, shown: Tensor, indices: Int64[np.ndarray, " n"]) -> Batch:
        prepared = normalise(shown, *_moments(self.spec))
        return prepared, torch.from_numpy(self.pictures.labels[indices])


def still_batches(
    pictures: Pictures, indices: Int64[np.ndarray, " n"], spec: RunSpec, *, size: int | None = None
) -> Iterator[Batch]:
    """Pictures in order, prepared as the spec says and not augmented.

    Args:
        size: pictures a batch; when not given, so few that they take no more memory than a step.
    """
    size = size or min(EVALUATION_BATCH, 2 * spec.train.batch_size)
    for start in range(0, len(indices), size):
        chunk = indices[start : start + size]
        images = Images(pictures, chunk, spec.preprocessing)
        yield normalise(images.batch(chunk), *_moments(spec)), torch.from_numpy(pictures.labels[chunk])


def _moments(spec: RunSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = spec.preprocessing.mean, spec.preprocessing.std
    assert mean is not None and std is not None
    return mean, std

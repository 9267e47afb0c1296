"""Augment: the same picture seen anew each epoch, a pure function of (seed, epoch, index)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from tether.registry import Registry

SMALL = 64
PHOTO_MARGIN = 1.15

Draws = Float32[Tensor, "count n"]
Augmentation = Callable[[UInt8[Tensor, "n channels side side"], Draws, int], Tensor]
AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")
DRAWS = 7


def default_kind(size: int, channels: int) -> str:
    """Return `shift` for gray and for small pictures, whose mirror image may be of another class; else `photo`.

    >>> default_kind(8, 1), default_kind(96, 3)
    ('shift', 'photo')
    """
    return "shift" if channels == 1 or size < SMALL else "photo"


def margin(kind: str) -> float:
    """By how much longer a side the pictures are kept than they are shown, so that a crop is not blown up."""
    return PHOTO_MARGIN if kind == "photo" else 1.0


def augment(
    batch: UInt8[Tensor, "n channels side side"],
    kind: str,
    *,
    seed: int,
    epoch: int,
    indices: Sequence[int] | Int64[np.ndarray, " n"],
    size: int | None = None,
) -> UInt8[Tensor, "n channels size size"] | Float32[Tensor, "n channels size size"]:
    """Show each picture as `kind` does, its values still 0 … 255; neighbours in the batch have no influence.

    Args:
        indices: the number of each picture in the data, not in the batch.
        size: side of the result; that of the batch if not given.

    Raises:
        SettingsError: the kind is not known.

    >>> batch = torch.arange(2 * 64, dtype=torch.uint8).reshape(2, 1, 8, 8)
    >>> once, twice = (augment(batch, "shift", seed=0, epoch=3, indices=[5, 9]) for _ in range(2))
    >>> torch.equal(once, twice)
    True
    """
    draws = torch.from_numpy(_draws(seed, epoch, indices)).to(batch.device)
    return AUGMENTATIONS[kind](batch, draws, size or batch.shape[-1])


@AUGMENTATIONS.register("none")
def _none(batch: UInt8[Tensor, "n channels side side"], _draws: Draws, size: int) -> Tensor:
    """The picture as it is, or its middle where it has a margin."""
    if size == batch.shape[-1]:
        return batch
    whole = torch.ones(len(batch), device=batch.device)
    return _window(batch, (0 * whole, 0 * whole), (whole, whole), size)


@AUGMENTATIONS.register("shift")
def _shift(batch: UInt8[Tensor, "n channels side side"], draws: Draws, size: int) -> Tensor:
    """Move by up to a fourteenth of the side (2 pixels of MNIST's 28) and scale by up to a tenth; no mirror image."""
    across, down, scale, *_ = 2 * draws - 1
    extent = 1 + scale / 10
    return _window(batch, (across / 7, down / 7), (extent, extent), size)


@AUGMENTATIONS.register("photo")
def _photo(batch: UInt8[Tensor, "n channels side side"], draws: Draws, size: int) -> Tensor:
    """Crop 0.6 to 1 of the area at an aspect of 3:4 to 4:3, mirror half, and vary light and contrast by 15 %."""
    area, aspect, across, down, mirror, light, contrast = draws
    area, stretch = 0.6 + 0.4 * area, (4 / 3) ** (aspect - 0.5)
    width, height = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    centre = ((2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height))
    flipped = torch.where(mirror < 0.5, -width, width)
    crops = _window(batch, centre, (flipped, height), size)
    return _lit(crops, _mean(batch), 0.85 + 0.3 * light, 0.85 + 0.3 * contrast)


def _window(
    batch: UInt8[Tensor, "n channels side side"],
    centre: tuple[Float32[Tensor, " n"], Float32[Tensor, " n"]],
    extent: tuple[Float32[Tensor, " n"], Float32[Tensor, " n"]],
    size: int,
) -> Float32[Tensor, "n channels size size"]:
    """Sample a window of each picture, whose whole reaches from −1 to 1; beyond the border its edge is repeated."""
    ticks = (2 * torch.arange(size, device=batch.device) + 1) / size - 1
    # Written out, since `affine_grid` multiplies matrices, whose rounding may change with the size of the batch.
    x, y = (c[:, None] + e[:, None] * ticks for c, e in zip(centre, extent, strict=True))
    shape = (len(batch), size, size)
    grid = torch.stack((x[:, None, :].expand(shape), y[:, :, None].expand(shape)), dim=-1)
    return functional.grid_sample(batch.float(), grid, "bilinear", "border", align_corners=False)


def _lit(
    pictures: Float32[Tensor, "n channels size size"],
    mean: Float32[Tensor, " n"],
    light: Float32[Tensor, " n"],
    contrast: Float32[Tensor, " n"],
) -> Float32[Tensor, "n channels size size"]:
    mean, light, contrast = (factor[:, None, None, None] for factor in (mean, light, contrast))
    return pictures.sub_(mean).mul_(contrast).add_(mean).mul_(light).clamp_(0, 255)


def _mean(batch: UInt8[Tensor, "n channels side side"]) -> Float32[Tensor, " n"]:
    # A sum of integers is exact, whatever its order.
    return batch.flatten(1).sum(1, dtype=torch.int64).float() / batch.shape[1:].numel()


def _draws(seed: int, epoch: int, indices: Sequence[int] | Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "count n"]:
    """Draw from a counter-based generator (Salmon et al., 2011): its key is (seed, epoch), its counter the index."""
    rows = [
        np.random.Generator(np.random.Philox(key=(seed, epoch), counter=(0, 0, 0, int(index)))).random(DRAWS)
        for index in indices
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, DRAWS).T.copy()

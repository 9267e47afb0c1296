"""Images: pictures decoded to one size, as a tensor of 8-bit values."""

from collections.abc import Sequence

import numpy as np
import PIL
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image
from torch import Tensor

from tether.data.check import attempt, unreadable
from tether.data.pictures import Pictures
from tether.errors import SettingsError
from tether.shelf import current
from tether.spec import PreprocessingSpec

BUDGET = 2**30
GAP = 2


class Images:
    """Some of the pictures, square and of one size; in memory where they fit the budget, else decoded batch by batch.

    A picture's short side is brought to the size, and its middle is kept: bicubic with antialiasing down, bilinear up.
    One channel is the luminance; three from gray are equal. Where a shelf is in use and has room for all pictures, they
    are decoded once for all that use it.

    Args:
        indices: which of the pictures.
        margin: factor on the size, for an augmentation that crops.
        budget: bytes that may be kept in memory.

    Raises:
        DataError: pictures cannot be read; the message counts them and names the first.
        SettingsError: size or channels are not known.

    >>> from tether.data.loading import load
    >>> images = Images(load("digits"), np.arange(100), PreprocessingSpec(size=16, channels=1))
    >>> images.batch([7, 99]).shape
    torch.Size([2, 1, 16, 16])
    """

    def __init__(
        self,
        pictures: Pictures,
        indices: Sequence[int] | Int64[np.ndarray, " n"],
        preprocessing: PreprocessingSpec,
        *,
        margin: float = 1.0,
        budget: int = BUDGET,
    ) -> None:
        size, self.channels = _known(preprocessing)
        self.side = round(size * margin)
        self.pictures, self.indices = pictures, np.asarray(indices, dtype=np.int64)
        self.cached = len(self.indices) * self.channels * self.side**2 <= budget
        self._rows = {int(index): row for row, index in enumerate(self.indices)}
        self._cache = self._decoded(self.indices) if self.cached else None

    def batch(self, indices: Sequence[int] | Int64[np.ndarray, " b"]) -> UInt8[Tensor, "b channels side side"]:
        """Return the pictures of these numbers (as in `pictures`, not as in `indices`)."""
        if self._cache is None:
            return self._decoded(np.asarray(indices, dtype=np.int64))
        return self._cache[[self._rows[int(index)] for index in indices]]

    def _decoded(self, indices: Int64[np.ndarray, " b"]) -> UInt8[Tensor, "b channels side side"]:
        shelf, count = current(), len(self.pictures)
        if shelf is None or count * self.channels * self.side**2 > BUDGET:
            return torch.from_numpy(self._values(indices))
        about = {"pixels": self.pictures.digest, "of": [self.channels, self.side], "by": PIL.__version__}
        return torch.from_numpy(shelf.array(about, lambda: self._values(np.arange(count)))[indices])

    def _values(self, indices: Int64[np.ndarray, " b"]) -> UInt8[np.ndarray, "b channels side side"]:
        values = np.empty((len(indices), self.channels, self.side, self.side), dtype=np.uint8)

        def decode(row: int) -> None:
            picture = self.pictures.read(int(indices[row]), GAP * self.side)
            values[row] = pixels(picture, self.side, self.channels)

        bad = attempt(decode, range(len(indices)))
        if bad:
            raise unreadable(self.pictures, [(int(indices[row]), why) for row, why in bad])
        return values

    def __len__(self) -> int:
        return len(self.indices)

    def __str__(self) -> str:
        where = "in memory" if self.cached else "decoded at each batch"
        return f"{len(self):,} images of {self.channels} × {self.side} × {self.side}, {where}"


def pixels(picture: Image.Image, side: int, channels: int) -> UInt8[np.ndarray, "channels side side"]:
    """Cut the middle square of a picture and bring it to `side` pixels.

    >>> pixels(Image.new("L", (30, 20), 7), 4, 3).shape
    (3, 4, 4)
    """
    colour = picture.convert("L" if channels == 1 else "RGB")
    short = min(colour.size)
    left, top = ((length - short) / 2 for length in colour.size)
    how = Image.Resampling.BILINEAR if short < side else Image.Resampling.BICUBIC
    square = colour.resize((side, side), how, box=(left, top, left + short, top + short))
    return np.asarray(square).reshape(side, side, channels).transpose(2, 0, 1)


def normalise(
    batch: UInt8[Tensor, "n channels height width"] | Float32[Tensor, "n channels height width"],
    mean: Sequence[float],
    std: Sequence[float],
) -> Float32[Tensor, "n channels height width"]:
    """Bring values of 0 … 255 to 0 … 1, subtract the mean of each channel and divide by its standard deviation.

    Raises:
        SettingsError: there are not as many means and deviations as channels.

    >>> normalise(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), [0.5], [0.5]).item()
    1.0
    """
    channels = batch.shape[1]
    if not len(mean) == len(std) == channels:
        raise SettingsError(
            f"preprocessing has {len(mean)} means and {len(std)} deviations for {channels} channels",
            why="each channel is centred and scaled by its own",
            fix=f"give {channels} of each",
        )
    centre, spread = (torch.tensor(values, device=batch.device).view(-1, 1, 1) for values in (mean, std))
    return batch.to(torch.float32, copy=True).div_(255).sub_(centre).div_(spread)


def _known(preprocessing: PreprocessingSpec) -> tuple[int, int]:
    if preprocessing.size is None or preprocessing.channels is None:
        missing = "size" if preprocessing.size is None else "channels"
        raise SettingsError(
            f"preprocessing.{missing} must be given",
            why="the source does not say how its pictures were prepared, and a guess would cost accuracy silently",
            fix=f"--preprocessing.{missing}, or [preprocessing] in the spec",
        )
    return preprocessing.size, preprocessing.channels

"""Pixels: a picture file becomes an upright picture of 8 bits, gray or colour."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tether.errors import DataError

SIXTEEN_BITS = 2**16 - 1

# What Pillow's decoders raise on a damaged file; anything else is a bug and is not caught.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def opened(path: Path, least: int = 0) -> Image.Image:
    """Decode a file, turn it as its EXIF orientation says, and bring it to 8 bits (see `eight_bit`).

    Args:
        least: where given, a JPEG may be decoded at a half, a quarter or an eighth as long as no side falls below it.

    Raises:
        DataError: it is no picture, is damaged, or has values of no known range.
    """
    try:
        with Image.open(path) as picture:
            if least:
                picture.draft(None, (least, least))
            picture.load()
            return eight_bit(ImageOps.exif_transpose(picture))
    except DAMAGED as error:
        raise DataError(f"`{path}` cannot be read", why=_reason(error), fix="replace or remove it") from error


def eight_bit(picture: Image.Image) -> Image.Image:
    """Bring any kind of picture to 8-bit gray (`L`) or colour (`RGB`); what is transparent shows white.

    Raises:
        ValueError: its values have no known range (floats, or integers wider than 16 bits).

    >>> eight_bit(Image.new("CMYK", (2, 2))).getpixel((0, 0))
    (255, 255, 255)
    """
    if picture.mode.startswith(("I", "F")):
        return _narrowed(picture)
    if picture.has_transparency_data:
        canvas = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(canvas, picture.convert("RGBA")).convert("RGB")
    return picture.convert("L" if picture.mode in {"1", "L"} else "RGB")


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _narrowed(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > SIXTEEN_BITS:
        raise ValueError("its values are wider than 16 bits, and their range is not known")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))

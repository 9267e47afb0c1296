"""Pixels: a picture file becomes an upright picture of 8 bits, gray or colour."""

import errno
import hashlib
import logging
import struct
import zlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tether.data.complaints import complaints_raised
from tether.data.kinds import PICTURES, START, kind_of
from tether.errors import DataError
from tether.escaping import terminal
from tether.regular import require_regular

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SIXTEEN_BITS = 2**16 - 1
MOST = 120_000_000
LARGEST = 2**30
NARROW = 4
HUGE = 2**24
"""Pixels from which on a picture is decoded alone, since many at once would fill the memory."""

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
_alone = Lock()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs of a damaged file is raised as well


@dataclass(frozen=True)
class Seen:
    """What is known of a picture once it was read.

    Args:
        digest: SHA-256 of the file's content.
        moving: it has more frames or pages than the first, which alone is taken.
        narrow: its middle square is less than a quarter of it.
    """

    digest: str
    moving: bool = False
    narrow: bool = False


def opened(path: Path, least: int = 0) -> Image.Image:
    """Decode a file, turn it as its EXIF orientation says, and bring it to 8 bits (see `eight_bit`).

    Of several frames or pages the first is taken. The content decides what it is, not the name.

    Args:
        least: where given, a JPEG may be decoded at a half, a quarter or an eighth as long as no side falls below it.

    Raises:
        DataError: it is no file or no picture, is damaged, too large, or has values of no known range.
    """
    with _stream(path) as stream:
        return _decoded(path, stream, least)[0]


def looked_at(path: Path) -> Seen:
    """Read a file once: its digest, and that all its pixels can be decoded (of a JPEG at an eighth of its size).

    Raises:
        DataError: as of `opened`.
    """
    with _stream(path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        _, moving, narrow = _decoded(path, stream, 1)
        return Seen(digest, moving, narrow)


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
        canvas.alpha_composite(picture if picture.mode == "RGBA" else picture.convert("RGBA"))
        return canvas.convert("RGB")
    return picture.convert("L" if picture.mode in {"1", "L"} else "RGB")


def _stream(path: Path) -> BufferedReader:
    try:
        require_regular(path, DataError, most=LARGEST)
    except DataError as error:
        raise _refusal(path, error.what.replace(f"`{terminal(path)}`", "it")) from None
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise _refusal(path, why_absent(path, error)) from error


def _decoded(path: Path, stream: BufferedReader, least: int) -> tuple[Image.Image, bool, bool]:
    """Return the picture, whether more frames follow, and whether it is far from a square."""
    try:
        with Image.open(stream, formats=FORMATS) as picture:
            short, long = sorted(picture.size)
            if short * long > MOST:
                raise Image.DecompressionBombError
            if least:
                picture.draft(None, (least, least))
            with _room(picture), complaints_raised() if picture.format == "TIFF" else nullcontext():
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)
                return eight_bit(picture), _goes_on(picture), long > NARROW * short
    except UnidentifiedImageError as error:
        stream.seek(0)
        raise _refusal(path, _instead(kind_of(stream.read(START)))) from error
    except DAMAGED as error:
        raise _refusal(path, _reason(error)) from error


def _room(picture: Image.Image) -> AbstractContextManager[object]:
    return _alone if picture.width * picture.height > HUGE else nullcontext()


def _goes_on(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except DAMAGED:
        return True


def _instead(kind: str) -> str:
    if kind in PICTURES:
        return f"it begins as {kind}, and is damaged"
    return f"it is {kind}" if kind else "it is no picture of a known kind"


def _refusal(path: Path, why: str) -> DataError:
    return DataError(f"`{terminal(path)}` cannot be read", why=why, fix="replace or remove it")


def why_absent(path: Path, error: Exception) -> str:
    """Say in words why a file cannot be opened, and of a link that it is one."""
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "it is a link that leads to itself"
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"it is a link to `{terminal(path.readlink())}`, which is not there"
    return _reason(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _narrowed(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture)
    wide = picture.mode == "I" and picture.format == "TIFF"
    if values.dtype.kind == "f" or wide or values.min() < 0 or values.max() > SIXTEEN_BITS:
        raise ValueError("its values are wider than 16 bits, and their range is not known")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))

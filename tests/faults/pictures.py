"""Pictures: files that are none, damaged, of odd kinds, or too large."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from faults.case import Case

REFUSED = "1 picture of 7 cannot be read: `a/odd."
READ = "train ·"
FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "tif": "TIFF", "webp": "WEBP", "ppm": "PPM"}
CUTS = (1, 4, 11, 20, 50, 75, 90)
HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>"


def plan(data: Path, *more: object) -> list[object]:
    """The words of a command that reads pictures and trains nothing."""
    channels = "preprocessing.channels=1"
    return ["plan", "--model", "digits-cnn", "--data", data, "--size", 12, "--set", channels, "--device", "cpu", *more]


def noise(number: int, size: tuple[int, int] = (12, 12)) -> Image.Image:
    """A picture in colour like no other."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def classes(folder: Path, names: str = "ab", count: int = 3) -> Path:
    """Make class folders with so many pictures each."""
    for kind in names:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            noise(100 * ord(kind) + number).save(folder / kind / f"{number}.png")
    return folder


def encoded(kind: str, picture: Image.Image | None = None, **settings: Any) -> bytes:
    """The bytes of a picture in a format."""
    stream = io.BytesIO()
    (picture or noise(0, (40, 30))).save(stream, kind, **settings)
    return stream.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *before: bytes) -> bytes:
    """A PNG of black that claims a size, with chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((min(width, 10_000) + 1) * min(height, 1000)), 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + pixels + chunk(b"IEND", b"")


def interlaced(values: np.ndarray) -> bytes:
    """A gray PNG whose pixels come in seven passes (PNG specification, 8.2)."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [values[down::next_row, across::next_column] for across, down, next_column, next_row in passes]
    raw = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8, 0, 0, 0, 1)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def with_file(suffix: str, content: Callable[[], bytes], folder: Path) -> list[object]:
    """Two classes, and one file beside the pictures of the first."""
    (classes(folder) / "a" / f"odd.{suffix}").write_bytes(content())
    return plan(folder)


def with_thing(make: Callable[[Path], object], folder: Path) -> list[object]:
    """Two classes, and something that is no file under a picture's name."""
    make(classes(folder) / "a" / "odd.jpg")
    return plan(folder)


def cut(kind: str, share: int) -> bytes:
    whole = encoded(kind)
    return whole[: len(whole) * share // 100]


def turned(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(kind, exif=exif)


def clear(mode: str) -> bytes:
    picture = noise(3).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((12, 12)))
    return encoded("PNG", picture.quantize(8) if mode == "P" else picture.convert(mode))


def several(kind: str) -> bytes:
    return encoded(kind, noise(4), save_all=True, append_images=[noise(5), noise(6)])


def texts(length: int, count: int, compressed: bool) -> bytes:
    known = PngImagePlugin.PngInfo()
    for number in range(count):
        known.add_text(f"text{number}", "x" * length, zip=compressed)
    return encoded("PNG", noise(7), pnginfo=known)


def profile(content: bytes) -> bytes:
    return encoded("JPEG", icc_profile=content)


def bmp_of(width: int, height: int) -> bytes:
    content = bytearray(encoded("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def tiff_of(width: int, height: int) -> bytes:
    content = encoded("TIFF", noise(0, (321, 123)))
    for old, new in ((321, width), (123, height)):
        content = content.replace(struct.pack("<HHI", 4, 1, old)[2:], struct.pack("<HHI", 4, 1, new)[2:], 1)
    return content


def flipped(place: int) -> bytes:
    content = bytearray(encoded("PNG"))
    content[place % len(content)] ^= 0x10
    return bytes(content)


def torn_fax() -> bytes:
    content = encoded("TIFF", noise(0, (64, 64)).convert("1"), compression="group4")
    return content[:8] + bytes(byte ^ 0x55 for byte in content[8:40]) + content[40:]


def sparse(path: Path) -> None:
    """A file that claims a terabyte and takes no room."""
    path.touch()
    os.truncate(path, 2**40)


def bound(path: Path) -> None:
    """A socket; its path is short, since a socket's has room for 108 bytes."""
    made = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(path.parent)
        made.bind(path.name)
    finally:
        os.chdir(here)
        made.close()


CUT = [
    Case(f"a {suffix} cut at {share} %", partial(with_file, suffix, partial(cut, kind, share)), (REFUSED + suffix,))
    for suffix, kind in FORMATS.items()
    for share in CUTS
]

FLIPPED = [
    Case(f"a PNG with a bit flipped at byte {place}", partial(with_file, "png", partial(flipped, place)), (REFUSED,))
    for place in (0, 5, 9, 13, 17, 21, 30, 45, 60, 200, 1000, 2000, -20)
]

NO_PICTURE = [
    Case(f"{name} called .{suffix}", partial(with_file, suffix, partial(bytes, content)), (REFUSED + suffix, says))
    for name, content, says in (
        ("an empty file", b"", "it is empty"),
        ("an HTML page", HTML, "an HTML page"),
        ("an HTML page with a mark and a gap", b"\xef\xbb\xbf\n\n  <HTML>", "an HTML page"),
        (
            "a git-lfs pointer",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "git-lfs pointer",
        ),
        ("zero bytes", bytes(5000), "nothing but zero bytes"),
        ("a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF"),
        ("a ZIP", b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (
            "a PostScript file that would be run",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "a PostScript file",
        ),
        ("an SVG", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        ("a HEIC photo", b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC photo"),
        ("an MP4", b"\0\0\0\x18ftypisom" + bytes(40), "a video"),
        ("JSON", b'{"error": "not found"}', "JSON"),
        ("text with a tail of escapes", b"not found\x1b[2J", "no picture of a known kind"),
        ("noise", np.random.default_rng(8).bytes(3000), "no picture of a known kind"),
    )
    for suffix in ("jpg", "png")
]

NO_FILE = [
    Case(f"{name} called .jpg", partial(with_thing, make), (REFUSED, says))
    for name, make, says in (
        ("a pipe", os.mkfifo, "it is a named pipe, not a file"),
        ("a socket", bound, "it is a socket, not a file"),
        ("an empty folder", Path.mkdir, "it is a folder, not a file"),
        ("a folder with pictures", classes, "it is a folder, not a file"),
        ("a link to an endless device", lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
        ("a link to an empty device", lambda path: path.symlink_to("/dev/null"), "it is a device, not a file"),
        ("a link to a terminal", lambda path: path.symlink_to("/dev/tty"), "it is a device, not a file"),
        ("a link to nothing", lambda path: path.symlink_to("gone.jpg"), "a link to `gone.jpg`, which is not there"),
        ("a link to itself", lambda path: path.symlink_to("odd.jpg"), "a link that leads to itself"),
        ("a file of a terabyte", sparse, "it has 1,099,511,627,776 bytes"),
    )
]

TOO_MUCH = [
    Case(name, partial(with_file, suffix, content), (REFUSED + suffix, says))
    for name, suffix, content, says in (
        ("a PNG of 50,000 × 50,000", "png", lambda: png(50_000, 50_000), "more than 120,000,000 pixels"),
        ("a PNG just over Pillow's warning", "png", lambda: png(12_000, 10_001), "more than 120,000,000 pixels"),
        ("a PNG of the longest sides", "png", lambda: png(2**31 - 1, 2**31 - 1), "more than 120,000,000 pixels"),
        ("a PNG of one endless row", "png", lambda: png(2**31 - 1, 1), "more than 120,000,000 pixels"),
        ("a PNG of no width", "png", lambda: png(0, 9), "it begins as a PNG, and is damaged"),
        ("a BMP of 40,000 × 40,000", "bmp", lambda: bmp_of(40_000, 40_000), "more than 120,000,000 pixels"),
        ("a PGM of 50,000 × 50,000", "pgm", lambda: b"P5 50000 50000 255\n", "more than 120,000,000 pixels"),
        (
            "a GIF of 65,535 × 65,535",
            "gif",
            lambda: b"GIF89a" + b"\xff" * 4 + encoded("GIF")[10:],
            "more than 120,000,000",
        ),
        ("a PNG with endless text", "png", lambda: texts(2_000_000, 1, True), "too large"),
        ("a PNG with a hundred long texts", "png", lambda: texts(1_000_000, 100, True), "Too much memory"),
        ("a TIFF of floats", "tif", lambda: encoded("TIFF", Image.new("F", (9, 9), 0.5)), "their range is not known"),
        (
            "a TIFF of wide integers",
            "tif",
            lambda: encoded("TIFF", Image.new("I", (9, 9), 70_000)),
            "range is not known",
        ),
        (
            "a TIFF of wide integers that are small",
            "tif",
            lambda: encoded("TIFF", Image.new("I", (9, 9), 7)),
            "not known",
        ),
        ("a TIFF of negative integers", "tif", lambda: encoded("TIFF", Image.new("I", (9, 9), -7)), "not known"),
        ("a torn fax page", "tif", torn_fax, ""),
    )
]

HANDLED = [
    Case(name, partial(with_file, suffix, content), says, code=0)
    for name, suffix, content, says in (
        ("a CMYK JPEG", "jpg", lambda: encoded("JPEG", noise(1).convert("CMYK")), (READ,)),
        ("a CMYK TIFF", "tif", lambda: encoded("TIFF", noise(1).convert("CMYK")), (READ,)),
        ("a gray JPEG", "jpg", lambda: encoded("JPEG", noise(1).convert("L")), (READ,)),
        ("a gray PNG of 16 bits", "png", lambda: encoded("PNG", Image.new("I;16", (9, 9), 40_000)), (READ,)),
        ("a PNG of one bit", "png", lambda: encoded("PNG", noise(1).convert("1")), (READ,)),
        ("a palette with transparency", "png", lambda: clear("P"), (READ,)),
        ("gray with transparency", "png", lambda: clear("LA"), (READ,)),
        ("colour with transparency", "png", lambda: clear("RGBA"), (READ,)),
        ("a progressive JPEG", "jpg", lambda: encoded("JPEG", progressive=True), (READ,)),
        ("an interlaced PNG", "png", lambda: interlaced(np.asarray(noise(1).convert("L"))), (READ,)),
        ("a picture of one pixel", "png", lambda: encoded("PNG", noise(1, (1, 1))), (READ,)),
        ("a colour profile that is none", "jpg", lambda: profile(b"no profile" * 20), (READ,)),
        ("a long colour profile", "jpg", lambda: profile(bytes(200_000)), (READ,)),
        ("a long text in a PNG", "png", lambda: texts(500_000, 1, False), (READ,)),
        ("a comment of any bytes in a JPEG", "jpg", lambda: encoded("JPEG", comment=b"\xff\x1b[2J" * 99), (READ,)),
        ("bytes after the end of a JPEG", "jpg", lambda: encoded("JPEG") + HTML, (READ,)),
        ("a suffix in capitals", "JPEG", lambda: encoded("JPEG"), (READ,)),
        ("an extreme aspect, upright", "png", lambda: encoded("PNG", noise(1, (1, 5000))), ("1, first `a/odd.png`",)),
        ("an extreme aspect, lying", "png", lambda: encoded("PNG", noise(1, (5000, 1))), ("Only the middle square",)),
        ("a moving GIF", "gif", lambda: several("GIF"), ("the first is taken: 1, first `a/odd.gif`",)),
        ("a moving WebP", "webp", lambda: several("WEBP"), ("the first is taken: 1, first `a/odd.webp`",)),
        ("a moving PNG", "png", lambda: several("PNG"), ("the first is taken: 1, first `a/odd.png`",)),
        ("a TIFF of three pages", "tif", lambda: several("TIFF"), ("the first is taken: 1, first `a/odd.tif`",)),
        ("a JPEG of three pictures", "jpg", lambda: several("MPO"), ("the first is taken: 1, first `a/odd.jpg`",)),
    )
]

TURNED = [
    Case(f"a {suffix} held as EXIF's {turn}", partial(with_file, suffix, partial(turned, turn, kind)), (READ,), code=0)
    for turn in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    for suffix, kind in (("jpg", "JPEG"), ("webp", "WEBP"))
]

MISNAMED = [
    Case(f"a {kind} called .{suffix}", partial(with_file, suffix, partial(encoded, kind)), (READ,), code=0)
    for kind, suffix in zip(FORMATS.values(), [*list(FORMATS)[1:], "jpg"], strict=True)
]


def skipped(folder: Path) -> list[object]:
    (classes(folder) / "a" / "odd.jpg").write_bytes(HTML)
    (folder / "a" / "odd\x1b[2J\n.jpg").write_bytes(b"")
    return plan(folder, "--skip-bad")


SKIPPED = [
    Case("unreadable pictures that may be left out", skipped, ("2 left out because they cannot be read",), code=0)
]

CASES = [*CUT, *FLIPPED, *NO_PICTURE, *NO_FILE, *TOO_MUCH, *HANDLED, *TURNED, *MISNAMED, *SKIPPED]

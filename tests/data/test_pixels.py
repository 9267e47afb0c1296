import hashlib
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faults.pictures import interlaced, png
from tether.data.pixels import SIXTEEN_BITS, Seen, eight_bit, looked_at, opened
from tether.errors import DataError


def gradient(dtype: type, top: int) -> np.ndarray:
    return np.linspace(0, top, 64).round().reshape(8, 8).astype(dtype)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_range(tmp_path: Path, suffix: str) -> None:
    values = gradient(np.uint16, SIXTEEN_BITS)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    found = np.asarray(opened(tmp_path / f"deep.{suffix}"))
    np.testing.assert_array_equal(found, np.round(values / 257))


def test_a_pgm_of_sixteen_bits_is_read_as_such(tmp_path: Path) -> None:
    values = gradient(np.uint16, SIXTEEN_BITS)
    (tmp_path / "deep.pgm").write_bytes(b"P5 8 8 65535\n" + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "deep.pgm")), np.round(values / 257))


@pytest.mark.parametrize("values", [gradient(np.float32, 1), gradient(np.int32, 70_000), -gradient(np.int32, 9)])
def test_values_of_no_known_range_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / "wide.tif")
    with pytest.raises(DataError) as refusal:
        opened(tmp_path / "wide.tif")
    assert "wide.tif" in refusal.value.what
    assert "range is not known" in refusal.value.why


def test_transparency_shows_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.putpixel((1, 1), (10, 20, 30, 255))
    palette = clear.quantize(4)
    palette.save(tmp_path / "clear.png")
    assert palette.mode == "P"
    for found in (eight_bit(clear), opened(tmp_path / "clear.png"), eight_bit(clear.convert("LA"))):
        assert found.mode == "RGB"
        assert found.getpixel((0, 0)) == (255, 255, 255)
    assert eight_bit(clear).getpixel((1, 1)) == (10, 20, 30)


@pytest.mark.parametrize(("mode", "kind"), [("1", "L"), ("L", "L"), ("P", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB")])
def test_every_kind_becomes_gray_or_colour(mode: str, kind: str) -> None:
    picture = Image.new("RGB", (3, 3), "white").convert(mode)
    found = eight_bit(picture)
    assert found.mode == kind
    assert set(np.asarray(found).ravel().tolist()) == {255}


def test_a_cmyk_jpeg_keeps_its_colour(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 40, 40)).convert("CMYK").save(tmp_path / "ink.jpg", quality=95)
    found = np.asarray(opened(tmp_path / "ink.jpg")).reshape(-1, 3).mean(0)
    np.testing.assert_allclose(found, (200, 40, 40), atol=4)  # JPEG's own loss


# EXIF 2.32, 4.6.4: which edges of what is seen the first row and the first column of what is stored are.
ORIENTATIONS = {
    1: lambda v: v,
    2: lambda v: v[:, ::-1],
    3: lambda v: v[::-1, ::-1],
    4: lambda v: v[::-1],
    5: lambda v: v.T,
    6: lambda v: v[::-1].T,
    7: lambda v: v[::-1, ::-1].T,
    8: lambda v: v[:, ::-1].T,
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(("suffix", "settings"), [("png", {}), ("tif", {}), ("webp", {"lossless": True})])
def test_a_picture_stands_as_its_camera_was_held(tmp_path: Path, orientation: int, suffix: str, settings) -> None:
    values = gradient(np.uint8, 255)[:, :5]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.dstack([values] * 3)).save(tmp_path / f"turned.{suffix}", exif=exif, **settings)
    found = np.asarray(opened(tmp_path / f"turned.{suffix}"))[..., 0]
    np.testing.assert_array_equal(found, ORIENTATIONS[orientation](values))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_jpeg_that_comes_smaller_is_turned_too(tmp_path: Path, orientation: int) -> None:
    values = np.kron(gradient(np.uint8, 255)[:, :5], np.ones((64, 64), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    found = np.asarray(opened(tmp_path / "turned.jpg", least=8), dtype=float)
    upright = ORIENTATIONS[orientation](values)[4::8, 4::8]
    assert found.shape == upright.shape
    np.testing.assert_allclose(found, upright, atol=4)  # JPEG's own loss


def test_a_large_jpeg_comes_smaller_and_alike(tmp_path: Path) -> None:
    x = np.linspace(0, 255, 800).astype(np.uint8)
    Image.fromarray(np.tile(x, (640, 1))).save(tmp_path / "large.jpg")
    full, small = opened(tmp_path / "large.jpg"), opened(tmp_path / "large.jpg", least=150)
    assert small.size == (200, 160)
    box = np.asarray(full, dtype=float).reshape(160, 4, 200, 4).mean((1, 3))
    np.testing.assert_allclose(np.asarray(small), box, atol=3)  # scaled in the cosine domain, not by boxes


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("text.jpg", b"version https://git-lfs.github.com/spec/v1", "a git-lfs pointer"),
        ("empty.png", b"", "it is empty"),
        ("gone.png", None, "no such file"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refusal:
        opened(tmp_path / name)
    assert name in refusal.value.what
    assert why in refusal.value.why


@pytest.mark.parametrize("content", [b"", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0", b"P5 50000 50000 255"])
def test_looking_refuses_as_opening_does(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    refusals = []
    for read in (opened, looked_at):
        with pytest.raises(DataError) as refusal:
            read(tmp_path / "x.png")
        refusals.append(str(refusal.value))
    assert refusals[0] == refusals[1]


def test_looking_gives_the_digest_of_the_file(tmp_path: Path) -> None:
    Image.new("L", (8, 33)).save(tmp_path / "x.png")
    digest = hashlib.sha256((tmp_path / "x.png").read_bytes()).hexdigest()
    assert looked_at(tmp_path / "x.png") == Seen(digest, moving=False, narrow=True)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "a named pipe"),
        (Path.mkdir, "a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to("x.png"), "a link that leads to itself"),
        (lambda path: path.symlink_to("gone"), "a link to `gone`, which is not there"),
    ],
)
def test_what_is_no_file_is_not_opened(tmp_path: Path, make, why: str) -> None:
    make(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png` cannot be read") as refusal:
        opened(tmp_path / "x.png")
    assert refusal.value.why.startswith(f"it is {why}")


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(50_000, 50_000))
    assert (tmp_path / "x.png").stat().st_size < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError) as refusal:
        opened(tmp_path / "x.png")
    assert refusal.value.why == "it has more than 120,000,000 pixels"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; its pixels are 2.5 GB


def test_an_interlaced_png_is_put_together(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (11, 13), dtype=np.uint8)
    (tmp_path / "x.png").write_bytes(interlaced(values))
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "x.png")), values)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    settings = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(tmp_path / "x", kind, save_all=True, append_images=frames[1:], **settings)
    assert looked_at(tmp_path / "x").moving
    red, green, blue = np.asarray(opened(tmp_path / "x")).reshape(-1, 3).mean(0)
    assert red > 250
    assert max(green, blue) < 5
    frames[0].save(tmp_path / "x", "JPEG" if kind == "MPO" else kind)
    assert not looked_at(tmp_path / "x").moving


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_the_content_says_what_it_is(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "x.txt", kind)
    assert opened(tmp_path / "x.txt").size == (8, 8)


def test_ink_is_inverted_as_adobe_does(tmp_path: Path) -> None:
    ink = Image.merge("CMYK", [Image.new("L", (16, 16), amount) for amount in (0, 255, 255, 0)])  # magenta and yellow
    ink.save(tmp_path / "ink.jpg", quality=95)
    content = (tmp_path / "ink.jpg").read_bytes()
    assert b"Adobe" in content
    red, green, blue = np.asarray(opened(tmp_path / "ink.jpg")).reshape(-1, 3).mean(0)
    assert red > 245
    assert max(green, blue) < 10


def test_gray_with_transparency_shows_white(tmp_path: Path) -> None:
    Image.merge("LA", [Image.new("L", (2, 1), 100), Image.fromarray(np.uint8([[0, 255]]))]).save(tmp_path / "x.png")
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "x.png")), [[[255] * 3, [100] * 3]])


def test_wide_integers_of_a_tiff_are_refused_though_they_are_small(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 200, np.int32)).save(tmp_path / "x.tif")
    with pytest.raises(DataError) as refusal:
        opened(tmp_path / "x.tif")
    assert "range is not known" in refusal.value.why


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged metadata
@pytest.mark.parametrize(
    ("kind", "settings"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {}), ("BMP", {}), ("PPM", {})]
    + [("TIFF", {"compression": how}) for how in (None, "tiff_lzw", "tiff_deflate", "jpeg")]
    + [("WEBP", {}), ("WEBP", {"lossless": True})],
)
def test_a_file_that_is_cut_is_refused_or_lacks_no_pixel(tmp_path: Path, kind: str, settings) -> None:
    values = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    path = tmp_path / "x"
    Image.fromarray(values).save(path, kind, **settings)
    content, whole, refused = path.read_bytes(), np.asarray(opened(path)), 0
    lengths = [*range(0, len(content), 7), *range(len(content) - 30, len(content))]
    for length in lengths:
        path.write_bytes(content[:length])
        try:
            np.testing.assert_array_equal(np.asarray(opened(path)), whole)
        except DataError:
            refused += 1
    assert refused > 0.7 * len(lengths)  # the end of a PNG and a GIF holds no pixel


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged metadata beside whole pixels
@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "tif", "webp"])
def test_a_damaged_file_is_refused_or_read_and_never_crashes(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(whole)
    damaged = whole.with_stem("damaged")
    for length in rng.integers(1, whole.stat().st_size - 1, 40):
        damaged.write_bytes(whole.read_bytes()[:length])
        with pytest.raises(DataError, match="damaged"):
            opened(damaged)
    for place in rng.integers(0, whole.stat().st_size, 80):
        content = bytearray(whole.read_bytes())
        content[place] ^= 0xFF
        damaged.write_bytes(content)
        try:
            opened(damaged)
        except DataError as refusal:
            assert refusal.why

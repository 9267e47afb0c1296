from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tether.data.pixels import SIXTEEN_BITS, eight_bit, opened
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


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_a_picture_stands_as_its_camera_was_held(tmp_path: Path, orientation: int, turn: int) -> None:
    values = gradient(np.uint8, 255)[:, :5]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "turned.png")), np.rot90(values, turn))


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

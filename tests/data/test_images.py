from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tether.data.digits import read_digits
from tether.data.folder import read_folder
from tether.data.images import Images, normalise, pixels
from tether.data.loading import load
from tether.data.pictures import Pictures
from tether.errors import DataError, SettingsError
from tether.shelf import shelf
from tether.spec import PreprocessingSpec


def prepared(size: int = 8, channels: int = 3) -> PreprocessingSpec:
    return PreprocessingSpec(size=size, channels=channels)


def noise(*size: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(30, 30), (50, 31), (31, 50), (96, 95)])
def test_the_middle_square_is_brought_to_the_size(size: tuple[int, int]) -> None:
    picture = noise(*size)
    found = pixels(picture, 16, 3)
    assert found.dtype == np.uint8
    oracle = np.asarray(ImageOps.fit(picture, (16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(found, oracle.transpose(2, 0, 1))


def test_tiny_pictures_grow_bilinearly() -> None:
    values = torch.from_numpy(read_digits().read.args[0][:1].copy())
    found = pixels(read_digits().read(0), 28, 1)
    oracle = torch.nn.functional.interpolate(values[None].float(), size=28, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found, oracle[0], atol=1)  # Pillow rounds after each of its two passes


def test_one_channel_is_the_luminance_and_three_of_gray_are_equal() -> None:
    picture = noise(8, 8)
    colour = np.asarray(picture, dtype=float)
    np.testing.assert_allclose(pixels(picture, 8, 1)[0], colour @ [0.299, 0.587, 0.114], atol=0.51)  # ITU-R 601
    gray = pixels(picture.convert("L"), 8, 3)
    assert (gray[0] == gray[1]).all()
    assert (gray[0] == gray[2]).all()


def test_batches_are_by_the_number_of_the_picture(folder) -> None:
    pictures = read_folder(folder(a=4, b=4))
    images = Images(pictures, [6, 1, 3], prepared())
    batch = images.batch(np.array([3, 6]))
    assert batch.dtype == torch.uint8
    assert batch.shape == (2, 3, 8, 8)
    for row, index in zip(batch, (3, 6), strict=True):
        np.testing.assert_array_equal(row, pixels(pictures.read(index), 8, 3))
    assert str(images) == "3 images of 3 × 8 × 8, in memory"


def test_what_does_not_fit_the_budget_is_decoded_at_each_batch(folder) -> None:
    pictures = read_folder(folder(a=4, b=4))
    bytes_of_all = 8 * 3 * 8 * 8
    kept = Images(pictures, range(8), prepared(), budget=bytes_of_all)
    decoded = Images(pictures, range(8), prepared(), budget=bytes_of_all - 1)
    assert (kept.cached, decoded.cached) == (True, False)
    assert torch.equal(kept.batch([5, 2]), decoded.batch([5, 2]))
    assert str(decoded).endswith("decoded at each batch")


def test_a_margin_keeps_more_pixels_of_the_same_view(folder) -> None:
    pictures = read_folder(folder(a=2, b=2))
    images = Images(pictures, [0], prepared(96), margin=1.15)
    assert images.batch([0]).shape == (1, 3, 110, 110)


def test_a_batch_is_a_copy(folder) -> None:
    images = Images(read_folder(folder(a=2, b=2)), range(4), prepared())
    before = images.batch([0])
    images.batch([0]).zero_()
    assert torch.equal(images.batch([0]), before)


@pytest.mark.parametrize("budget", [2**30, 0])
def test_pictures_that_became_unreadable_are_counted_and_named(folder, budget: int) -> None:
    root = folder(a=3, b=3)
    pictures = read_folder(root)
    for name in ("a/01.png", "b/02.png"):
        (root / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"2 pictures of 6 cannot be read: `a/01.png` .*, `b/02.png` "):
        Images(pictures, range(6), prepared(), budget=budget).batch(range(6))


@pytest.mark.parametrize("missing", ["size", "channels"])
def test_unknown_preprocessing_is_asked_for(missing: str) -> None:
    known = {"size": 8, "channels": 1, missing: None}
    with pytest.raises(SettingsError, match=f"preprocessing.{missing} must be given"):
        Images(read_digits(), [0], PreprocessingSpec(**known))


def test_normalise_is_the_formula() -> None:
    batch = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    oracle = (batch.double().numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    found = normalise(batch, mean, std)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, oracle, atol=1e-6)
    floats = batch.float()
    assert torch.equal(normalise(floats, mean, std), found)
    assert torch.equal(floats, batch.float())


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.5]), ([0.5] * 3, [0.5])])
def test_as_many_means_as_channels_are_needed(mean: list[float], std: list[float]) -> None:
    with pytest.raises(SettingsError, match="for 3 channels"):
        normalise(torch.zeros((1, 3, 2, 2), dtype=torch.uint8), mean, std)


def test_digits_need_no_files() -> None:
    digits = read_digits()
    images = Images(digits, range(100), prepared(8, 1))
    np.testing.assert_array_equal(images.batch([12])[0, 0], np.asarray(digits.read(12)))


def test_the_office_photos(amazon: Path) -> None:
    pictures: Pictures = load(str(amazon))
    images = Images(pictures, range(0, 958, 50), prepared(96))
    assert images.batch([0, 950]).shape == (2, 3, 96, 96)
    np.testing.assert_array_equal(
        images.batch([950])[0], np.asarray(pictures.read(950).resize((96, 96))).transpose(2, 0, 1)
    )


def test_a_shelf_changes_no_pixel_and_decodes_once(folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = read_folder(folder(a=4, b=4))
    chosen = np.array([6, 1, 3])
    for margin in (1.0, 1.5):
        alone = Images(pictures, chosen, prepared(), margin=margin).batch([3, 6])
        with shelf(tmp_path):
            assert torch.equal(Images(pictures, chosen, prepared(), margin=margin).batch([3, 6]), alone)
    with monkeypatch.context() as patch, shelf(tmp_path):
        patch.setattr("tether.data.images.pixels", lambda *_: pytest.fail("decoded again"))
        for budget in (0, 2**30):
            found = Images(pictures, chosen, prepared(), margin=1.5, budget=budget).batch([3, 6])
            assert torch.equal(found, alone)
            found += 1  # they are a copy
        with pytest.raises(pytest.fail.Exception):
            Images(pictures, chosen, prepared(size=9))
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_what_has_no_room_on_a_shelf_is_decoded(folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tether.data.images.BUDGET", 8 * 3 * 64 - 1)
    pictures = read_folder(folder(a=4, b=4))
    with shelf(tmp_path):
        Images(pictures, [1], prepared())
    assert not list(tmp_path.glob("*.npy"))

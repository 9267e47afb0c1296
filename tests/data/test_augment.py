import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from tether.data.augment import AUGMENTATIONS, DRAWS, augment, default_kind, margin
from tether.errors import SettingsError

KINDS = ["none", "shift", "photo"]
HALF = 0.5


def noise(n: int = 12, channels: int = 3, side: int = 23) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, channels, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def drawn(**values: float) -> torch.Tensor:
    """Draws of one picture, a half where nothing is given; by the order in which `photo` takes them."""
    names = ["area", "aspect", "across", "down", "mirror", "light", "contrast"]
    return torch.tensor([[values.get(name, HALF)] for name in names])


def shown(kind: str, batch: torch.Tensor, indices: list[int], *, seed: int = 0, epoch: int = 0) -> torch.Tensor:
    return augment(batch, kind, seed=seed, epoch=epoch, indices=indices, size=20)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_have_no_influence(kind: str, threads: int) -> None:
    batch, indices = noise(), [3, 1, 4, 15, 9, 2, 6, 5, 35, 8, 97, 93]
    whole = shown(kind, batch, indices)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        order = np.random.default_rng(0).permutation(12)
        permuted = shown(kind, batch[order], [indices[i] for i in order])
        assert torch.equal(permuted, whole[order])
        for size in (1, 5):
            parts = [shown(kind, batch[i : i + size], indices[i : i + size]) for i in range(0, 12, size)]
            assert torch.equal(torch.cat(parts), whole)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["shift", "photo"])
def test_seed_epoch_and_index_each_matter(kind: str) -> None:
    batch = noise(1).expand(2, -1, -1, -1)
    first, second = shown(kind, batch, [0, 1])
    assert not torch.equal(first, second)
    assert torch.equal(first, shown(kind, batch[:1], [0])[0])
    assert not torch.equal(first, shown(kind, batch[:1], [0], epoch=1)[0])
    assert not torch.equal(first, shown(kind, batch[:1], [0], seed=1)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_stay_in_range_and_the_batch_as_it_was(kind: str, channels: int) -> None:
    batch = noise(channels=channels)
    before = batch.clone()
    found = shown(kind, batch, list(range(12)))
    assert found.shape == (12, channels, 20, 20)
    assert found.min() >= 0
    assert found.max() <= 255
    assert torch.equal(batch, before)


def test_none_is_the_picture_itself() -> None:
    batch = noise()
    assert augment(batch, "none", seed=0, epoch=0, indices=range(12)) is batch


def test_a_shift_by_a_fourteenth_is_two_pixels_of_twenty_eight() -> None:
    batch = noise(1, 1, 28)
    draws = torch.full((DRAWS, 1), HALF)
    torch.testing.assert_close(AUGMENTATIONS["shift"](batch, draws, 28), batch.float(), atol=1e-2, rtol=0)
    draws[0] = 1.0
    found = AUGMENTATIONS["shift"](batch, draws, 28)
    torch.testing.assert_close(found[..., :-2], batch[..., 2:].float(), atol=1e-2, rtol=0)  # float32 at 255 levels
    torch.testing.assert_close(found[..., -2:], batch[..., -1:].float().expand(1, 1, 28, 2), atol=1e-2, rtol=0)


def test_a_photo_of_the_whole_area_is_itself_or_its_mirror_image() -> None:
    batch = noise(1)
    whole = AUGMENTATIONS["photo"](batch, drawn(area=1, mirror=0.9), 23)
    mirrored = AUGMENTATIONS["photo"](batch, drawn(area=1, mirror=0.1), 23)
    torch.testing.assert_close(whole, batch.float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(mirrored, batch.float().flip(-1), atol=1e-2, rtol=0)


@pytest.mark.parametrize("across", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("area", [0.0, 0.4])
def test_a_photo_s_crop_is_a_bilinear_window(area: float, across: float) -> None:
    side, size, aspect, down = 30, 24, 0.8, 0.7
    batch = noise(1, 1, side)
    found = AUGMENTATIONS["photo"](batch, drawn(area=area, aspect=aspect, across=across, down=down, mirror=0.9), size)
    share = 0.6 + 0.4 * area
    ratio = (4 / 3) ** (2 * aspect - 1)
    width, height = min((share * ratio) ** 0.5, 1) * side, min((share / ratio) ** 0.5, 1) * side
    left, top = across * (side - width), down * (side - height)
    x = left + (np.arange(size) + HALF) * width / size - HALF
    y = top + (np.arange(size) + HALF) * height / size - HALF
    oracle = map_coordinates(batch[0, 0].double().numpy(), np.meshgrid(y, x, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(found[0, 0], oracle, atol=1e-2)


def test_light_and_contrast_turn_about_the_mean_and_are_clipped() -> None:
    batch = noise(1)
    found = AUGMENTATIONS["photo"](batch, drawn(area=1, mirror=0.9, light=1.0, contrast=0.0), 23)
    values = batch.double()
    oracle = (((values - values.mean()) * 0.85 + values.mean()) * 1.15).clamp(0, 255)
    torch.testing.assert_close(found.double(), oracle, atol=1e-2, rtol=0)


def test_half_of_the_photos_are_mirrored() -> None:
    ramp = torch.arange(0, 240, 10, dtype=torch.uint8).expand(400, 1, 24, 24)
    found = augment(ramp, "photo", seed=0, epoch=0, indices=range(400))
    mirrored = int((found[:, 0, 0, 0] > found[:, 0, 0, -1]).sum())
    assert abs(mirrored - 200) < 40  # four standard deviations


def test_small_and_gray_pictures_are_never_mirrored() -> None:
    assert default_kind(32, 3) == default_kind(8, 1) == default_kind(224, 1) == "shift"
    assert default_kind(96, 3) == default_kind(64, 3) == "photo"
    ramp = torch.arange(0, 240, 10, dtype=torch.uint8).expand(100, 1, 24, 24)
    found = augment(ramp, "shift", seed=0, epoch=0, indices=range(100))
    assert (found.diff(dim=-1) >= -1e-3).all()


def test_only_crops_need_a_margin() -> None:
    assert [margin(kind) for kind in KINDS] == [1.0, 1.0, 1.15]


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no augmentation is named `foto`") as caught:
        augment(noise(1), "foto", seed=0, epoch=0, indices=[0])
    assert caught.value.fix == "did you mean `photo`?"

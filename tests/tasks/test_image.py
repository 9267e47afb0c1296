from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tether import RunSpec
from tether.data.augment import augment
from tether.data.images import Images, normalise
from tether.data.order import epoch_order
from tether.engine.build import build
from tether.tasks.image import ImageTask

Settings = Callable[..., dict[str, Any]]


def task(settings: Settings, **changes: Any) -> ImageTask:
    return build(RunSpec.from_flags(settings(changes))).task


@pytest.mark.parametrize("seed", [0, 7])
def test_an_epoch_shows_each_training_picture_at_most_once_in_its_order(settings: Settings, seed: int) -> None:
    made = task(settings, **{"seed": seed, "data.augment": "none", "train.batch_size": 4})
    batches = list(made.batches(2))
    assert made.steps_per_epoch == len(batches) == 4  # 18 pictures; two are left to other epochs
    order = made.split.train[epoch_order(18, seed, 2)][:16]
    assert torch.cat([labels for _, labels in batches]).tolist() == made.pictures.labels[order].tolist()


def test_an_unaugmented_batch_is_the_pictures_less_the_mean_over_the_deviation(settings: Settings) -> None:
    made = task(settings, **{"data.augment": "none"})
    indices = made.split.train[epoch_order(18, 0, 0)][:6]
    raw = Images(made.pictures, indices, made.spec.preprocessing).batch(indices).numpy() / 255
    mean, std = made.spec.preprocessing.mean[0], made.spec.preprocessing.std[0]
    pictures, _ = next(made.batches(0))
    np.testing.assert_allclose(pictures.numpy(), (raw - mean) / std, atol=1e-5)


def test_batches_are_a_pure_function_of_seed_and_epoch(settings: Settings) -> None:
    one, two = task(settings), task(settings)
    list(two.batches(0))
    torch.rand(5)
    for (a, x), (b, y) in zip(one.batches(3), two.batches(3), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, y)
    (a, _), (b, _) = next(one.batches(3)), next(one.batches(4))
    assert not torch.equal(a, b)


def test_another_seed_augments_otherwise(settings: Settings) -> None:
    one, two = task(settings, seed=7), task(settings, seed=8)
    found, _ = next(one.batches(1))
    indices = one.split.train[epoch_order(18, 7, 1)][:6]
    for seed, same in ((7, True), (8, False)):
        shown = augment(one.training.batch(indices), "shift", seed=seed, epoch=1, indices=indices, size=12)
        prepared = normalise(shown, one.spec.preprocessing.mean, one.spec.preprocessing.std)
        assert torch.equal(found, prepared) == same
    assert not torch.equal(next(two.batches(1))[0], found)


def test_fewer_pictures_than_a_batch_make_one_smaller_batch(settings: Settings) -> None:
    made = task(settings, **{"train.batch_size": 100})
    assert [len(labels) for _, labels in made.batches(0)] == [18]


@pytest.mark.parametrize(("part", "count"), [("train", 9), ("validation", 9), ("test", 12)])
def test_a_still_part_is_every_picture_of_it_in_order(settings: Settings, part: Any, count: int) -> None:
    made = task(settings, **{"data.validation": 0.5})
    labels = torch.cat([labels for _, labels in made.still(part)])
    assert labels.tolist() == made.pictures.labels[getattr(made.split, part)].tolist()
    assert len(labels) == count
    assert torch.equal(next(made.still(part))[0], next(made.still(part))[0])


def test_mean_and_deviation_of_scratch_are_those_of_the_training_pictures(settings: Settings) -> None:
    made = task(settings)
    values = np.concatenate(
        [np.asarray(made.pictures.read(int(index)), dtype=np.float64).ravel() / 255 for index in made.split.train]
    )
    assert made.spec.preprocessing.mean == (round(values.mean(), 4),)
    assert made.spec.preprocessing.std == (round(values.std(ddof=1), 4),)

"""What every test shares: one thread, one seed a test, and small pictures and runs."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)
hypothesis.settings.register_profile("tether", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tether")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data, which a checkout may lack."""
    folder = Path(os.environ.get("TETHER_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip("no data: TETHER_DATA names no folder")
    return folder


Draw = Callable[..., Path]
Settings = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Draw:
    """Draw a folder of gray pictures of 12 × 12: every letter is a class, stripes of its own direction under noise."""
    made: dict[tuple[str, int], Path] = {}

    def draw(classes: str = "abc", count: int = 10) -> Path:
        if (classes, count) not in made:
            root = tmp_path_factory.mktemp("stripes") / classes
            for kind in classes:
                (root / kind).mkdir(parents=True)
                for number in range(count):
                    _stripe(ord(kind), number).save(root / kind / f"{number:02}.png")
            made[classes, count] = root
        return made[classes, count]

    return draw


def _stripe(kind: int, number: int) -> Image.Image:
    rng = np.random.default_rng([kind, number])
    across, down = np.meshgrid(np.arange(12), np.arange(12))
    angle = kind % 8 * np.pi / 8
    wave = np.sin(1.6 * (across * np.cos(angle) + down * np.sin(angle)) + rng.uniform(0, 2 * np.pi))
    return Image.fromarray((128 + 50 * wave + rng.normal(0, 40, wave.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def settings(stripes: Draw) -> Settings:
    """Settings of a run from scratch that takes a tenth of a second, with changes."""

    def settings(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        base: dict[str, Any] = {
            "model.name": "digits-cnn",
            "data.path": str(stripes()),
            "data.per_class": 6,
            "preprocessing.size": 12,
            "preprocessing.channels": 1,
            "train.epochs": 3,
            "train.batch_size": 6,
            "threads": 1,
            "device": "cpu",
        }
        return base | dict(changes or {})

    return settings


@pytest.fixture(scope="session")
def source_run(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run from scratch on the classes a, b, c: a source for others."""
    from tether import RunSpec, fit

    folder = tmp_path_factory.mktemp("source") / "run"
    fit(RunSpec.from_flags(settings({"train.epochs": 30})), folder)
    return folder


@pytest.fixture(scope="session")
def resnet_run(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a network with BatchNorm."""
    from tether import RunSpec, fit

    folder = tmp_path_factory.mktemp("resnet") / "run"
    fit(RunSpec.from_flags(settings({"model.name": "cifar-resnet20", "train.epochs": 25})), folder)
    return folder

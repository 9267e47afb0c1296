import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Maker = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Maker:
    """Write a picture of random colours below `tmp_path`."""

    def save(name: str, size: tuple[int, int] = (12, 10)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(values).save(path)
        return path

    return save


@pytest.fixture
def folder(tmp_path: Path, save: Maker) -> Maker:
    """Make class folders with so many pictures each, and return their root."""

    def folder(**counts: int) -> Path:
        for kind, count in counts.items():
            for number in range(count):
                save(f"{kind.replace('__', '/')}/{number:02}.png")
        return tmp_path

    return folder


@pytest.fixture
def amazon() -> Path:
    repository = Path(__file__).parents[2]
    data = Path(os.environ.get("TETHER_DATA", repository.parent / "shared" / "data"))
    photos = data / "office_caltech10" / "images" / "amazon"
    if not photos.is_dir():
        pytest.skip("the Office-Caltech photos are not there: TETHER_DATA names the folder of data")
    return photos

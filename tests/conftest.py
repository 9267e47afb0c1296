"""What every test shares: one thread, and one seed a test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("tether", deadline=None, derandomize=True, database=None)
settings.load_profile("tether")


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

"""A CIFAR-10 model, as another project saved it, to Fashion-MNIST; and what it keeps of CIFAR-10."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.story, pytest.mark.timeout(600)]

TETHER = Path(sys.executable).with_name("tether")
FASHION = Path("/usr/share/datasets/fashion-mnist")
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
COUNTS = {"train": 10, "test": 30}


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not FASHION.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    root = tmp_path_factory.mktemp("fashion")
    for part, prefix in (("train", "train"), ("test", "t10k")):
        labels = _idx(f"{prefix}-labels-idx1-ubyte.gz", 8)
        pictures = _idx(f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        for label in range(10):
            folder = root / part / f"kind-{label}"
            folder.mkdir(parents=True)
            for index in np.flatnonzero(labels == label)[: COUNTS[part]]:
                Image.fromarray(pictures[index]).save(folder / f"{index:05}.png")
    return root


def _idx(name: str, header: int) -> np.ndarray:
    with gzip.open(FASHION / name) as stream:
        return np.frombuffer(stream.read(), dtype=np.uint8, offset=header)


def test_l2_sp_keeps_more_of_the_source_than_plain_fine_tuning(
    fashion: Path, shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "cifar10_resnet20" / "resnet20.th"
    if not source.is_file() or not (shared_data / "cifar10" / "test").is_dir():
        pytest.skip("CIFAR-10's pictures or its ResNet-20 are not in TETHER_DATA")
    (tmp_path / "cifar.txt").write_text("\n".join(CIFAR))

    def fit(plan: str) -> dict[str, Any]:
        words = ["fit", "--model", "cifar-resnet20", "--source", source, "--data", fashion, "--plan", plan]
        words += ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--validation", "0", "--lr", "1e-3"]
        words += ["--source-data", shared_data / "cifar10" / "test", "--source-classes", tmp_path / "cifar.txt"]
        words += ["--epochs", "18", "--threads", "1", "--out", tmp_path / plan]
        done = subprocess.run([TETHER, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outcome: dict[str, Any] = json.loads((tmp_path / plan / "outcome.json").read_text())
        return outcome

    plain, held = fit("none"), fit("l2_sp(alpha=1)")
    assert 0.80 < plain["retention"]["source"] == held["retention"]["source"] < 0.82
    assert plain["test"]["accuracy"] > 0.5
    assert held["test"]["accuracy"] > 0.4
    assert held["retention"]["kept"] > plain["retention"]["kept"] + 0.2

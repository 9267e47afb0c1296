"""An ImageNet model to photos of ten kinds of things, 8 of each, on the command line and without network."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.story, pytest.mark.timeout(600)]

TETHER = Path(sys.executable).with_name("tether")
SETTINGS = ["--model", "timm:tf_efficientnet_lite0", "--source", "efficientnet-lite0", "--size", "96"]


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> Path:
    folder = shared_data / "office_caltech10" / "images" / "amazon"
    if not folder.is_dir():
        pytest.skip("the photos of Office-Caltech are not in TETHER_DATA")
    return folder


def tether(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([TETHER, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_eight_photos_a_class_are_enough(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tether("fit", *SETTINGS, "--data", photos, "--per-class", "8", "--threads", "1", "--out", run)
    outcome = json.loads((run / "outcome.json").read_text())
    assert outcome["test"]["count"] == 878
    assert outcome["test"]["accuracy"] > 0.87
    assert outcome["steps_acted"] == outcome["steps"] == 60
    moved = json.loads((run / "transfer.json").read_text())
    assert [row["target"] for row in moved["parameters"] if row["fate"] == "new"] == [
        "classifier.weight",
        "classifier.bias",
    ]

    again = json.loads(tether("evaluate", run, "--json").stdout)
    assert again["accuracy"] == outcome["test"]["accuracy"]

    tested = json.loads((run / "split.json").read_text())["test"]
    chosen = [photos / name for name in tested[::80]]
    rows = list(csv.DictReader(tether("predict", run, *chosen).stdout.splitlines()))
    assert [row["path"] for row in rows] == [str(path) for path in chosen]
    right = [row["class"] == path.parent.name for row, path in zip(rows, chosen, strict=True)]
    assert sum(right) >= 0.7 * len(right)


def test_the_other_padding_is_refused(photos: Path, tmp_path: Path) -> None:
    words = ["fit", "--model", "timm:efficientnet_lite0", "--source", "efficientnet-lite0", "--size", "96"]
    done = tether(*words, "--data", photos, "--out", tmp_path / "run", code=2)
    assert done.stderr.startswith("error: the source was trained with `same` padding")
    assert "fix: --model timm:tf_efficientnet_lite0" in done.stderr
    assert not (tmp_path / "run").exists()

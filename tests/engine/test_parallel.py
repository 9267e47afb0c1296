"""Processes that torchrun starts share each batch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import allclose, distributed

from tether import RunSpec, fit
from tether.engine.parallel import ALONE, Ranks, is_lost, joined, refuse_unequal
from tether.errors import SettingsError

Settings = Callable[..., dict[str, Any]]
TESTS = Path(__file__).parents[1]
STARTED = """
import sys
from pathlib import Path
from faults.kills import attempt
from tether import RunSpec
spec, out, ranks = sys.argv[1:]
sys.exit(attempt(RunSpec.from_toml(spec), Path(out), int(ranks)))
"""


def fit_with(ranks: int, spec: RunSpec, out: Path) -> subprocess.CompletedProcess[str]:
    written = out.with_suffix(".toml")
    written.write_text(spec.to_toml())
    words = [sys.executable, "-c", STARTED, str(written), str(out), str(ranks)]
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("head", ["zero", "probe"])
def test_two_processes_train_as_one(settings: Settings, source_run: Path, tmp_path: Path, head: str) -> None:
    changes = {"source.path": str(source_run), "source.exclude": ["head.*"], "train.batch_size": 6, "source.head": head}
    changes |= {"data.validation": 0.3, "optimizer.name": "sgd", "optimizer.lr": 0.01}
    spec = RunSpec.from_flags(settings(changes))
    one = fit(spec, tmp_path / "one")
    done = fit_with(2, spec, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    found, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    assert all(allclose(found[name], value, atol=1e-6) for name, value in wanted.items())
    from tether import RunRecord

    for row, other in zip(RunRecord.read(tmp_path / "two").metrics, one.metrics, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"train.batch_size": 5}, "a batch of 5 pictures cannot be shared equally by 2 processes"),
        ({"train.auto_batch": True}, "`train.auto_batch` works in one process only"),
    ],
)
def test_what_cannot_be_shared_is_refused(settings: Settings, changes: dict[str, Any], what: str) -> None:
    spec = RunSpec.from_flags(settings(changes))
    with pytest.raises(SettingsError, match=what) as refusal:
        refuse_unequal(spec, 100, Ranks(0, 2))
    assert refusal.value.why and refusal.value.fix
    refuse_unequal(spec, 100, ALONE)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks is ALONE
    assert (ALONE.most(3), ALONE.gathered("a"), ALONE.told("a"), ALONE.once(lambda: 5)) == (3, ["a"], "a", 5)
    assert not distributed.is_initialized()


def test_a_lost_process_is_told_from_a_bug() -> None:
    assert is_lost(RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer"))
    assert is_lost(distributed.DistNetworkError("timed out"))
    assert not is_lost(RuntimeError("shapes differ"))
    assert not is_lost(ValueError("gloo"))

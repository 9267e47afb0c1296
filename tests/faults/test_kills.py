"""Runs that are killed end on the bits of runs that are not; `make soak` does this two hundred times."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).with_name("kills.py")


@pytest.mark.story
@pytest.mark.parametrize(("kills", "ranks"), [(20, 1), (5, 2)])
def test_killed_runs_lose_nothing(kills: int, ranks: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(KILLS.parents[1]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(KILLS), "--kills", str(kills), "--ranks", str(ranks), "--seed", "1"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "could not go on: 0; runs that ended on other bits: 0" in done.stdout
    assert int(done.stdout.split()[0]) >= kills

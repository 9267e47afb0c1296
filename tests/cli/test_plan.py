from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_a_plan_shows_every_tensor_and_writes_nothing(
    tether: Callable[..., Any], small: list[str], source_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--source", source_run, "--plan", "l2_sp", "--set", "plan.via=prox"]
    done = tether("plan", *small, *words)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("plan: l2_sp · transferred → source: L2(0.1) · new → zero: L2(0.01) · by prox")
    assert next(line for line in lines if line.startswith("conv1.weight")).split() == [
        *("conv1.weight", "16×1×3×3", "transferred", "L2(0.1)", "source", "0.1", "0.0003"),
    ]
    assert "warning: under 5 %" in done.out
    assert not list(tmp_path.iterdir())


def test_a_plan_refuses_what_fit_refuses(tether: Callable[..., Any], small: list[str]) -> None:
    done = tether("plan", *small, "--source", "mnsit")
    assert done.code == 2
    assert done.err.splitlines()[0] == "error: there is no source `mnsit`"

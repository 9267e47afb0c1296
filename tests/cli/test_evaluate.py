import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tether.engine.measure import measure

Tether = Callable[..., Any]


def test_a_run_is_measured_on_its_own_test_pictures(tether: Tether, source_run: Path) -> None:
    done = tether("evaluate", source_run)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{measure(source_run)}\n"


def test_as_json_it_is_the_outcome_of_the_run(tether: Tether, source_run: Path) -> None:
    found = json.loads(tether("evaluate", source_run, "--json").out)
    assert found == json.loads((source_run / "outcome.json").read_text())["test"]


def test_on_other_data(tether: Tether, source_run: Path, stripes: Any) -> None:
    done = tether("evaluate", source_run, "--data", stripes("abc", 20), "--json")
    assert json.loads(done.out)["count"] == 60


def test_what_is_no_run_is_refused(tether: Tether, tmp_path: Path) -> None:
    done = tether("evaluate", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert f"`{tmp_path}` is a folder without `model.safetensors`" in done.err

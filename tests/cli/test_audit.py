import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether.engine.audit_run import audit_run
from tether.files import write_manifest

Tether = Callable[..., Any]


@pytest.fixture
def tuned(tether: Tether, small: list[str], source_run: Path, tmp_path: Path) -> Path:
    done = tether("fit", *small, "--source", source_run, "--exclude", "head.*", "--out", tmp_path / "run", "--quiet")
    assert done.code == 0
    return tmp_path / "run"


def test_a_run_is_audited_from_any_folder(
    tether: Tether, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = tether("audit", tuned)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{audit_run(tuned)}\n"
    assert done.out.startswith("audit: passed, ")


def test_as_json_every_row_is_there(tether: Tether, tuned: Path) -> None:
    done = tether("audit", tuned, "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert found == audit_run(tuned).to_json()
    assert found["passed"]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_row_that_failed_is_exit_code_2(tether: Tether, tuned: Path, words: tuple[str, ...]) -> None:
    outcome = json.loads((tuned / "outcome.json").read_text())
    (tuned / "outcome.json").write_text(json.dumps(outcome | {"steps_acted": 0}))
    write_manifest(tuned)
    done = tether("audit", tuned, *words)
    assert (done.code, done.err) == (2, "")
    assert "the penalty acted on 0 of 9 steps" in done.out


def test_what_is_no_run_is_refused(tether: Tether, tmp_path: Path) -> None:
    done = tether("audit", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        f"error: no run is in `{tmp_path}`",
        "why: a run folder holds `spec.toml`",
        "fix: give the --out of a fit",
    ]

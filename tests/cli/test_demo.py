from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_demo_that_is_there_is_refused(tether: Callable[..., Any], tmp_path: Path) -> None:
    done = tether("demo", "--out", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0] == f"error: `{tmp_path}` is there already"


def test_one_seed_has_no_standard_error(tether: Callable[..., Any], tmp_path: Path) -> None:
    done = tether("demo", "--out", tmp_path / "demo", "--seeds", 1)
    assert done.code == 2
    assert "`--seeds` is '1'" in done.err
    assert not list(tmp_path.iterdir())

"""What the tests of the study share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from study.here import Log, made_here
from tether import RunSpec

Spec = Callable[..., RunSpec]


@pytest.fixture(scope="session")
def small(settings: Callable[..., dict[str, Any]], stripes: Callable[..., Path], source_run: Path) -> Spec:
    """The spec of a run of some steps from the small source, with validation and test pictures, and with changes."""

    def small(changes: Mapping[str, Any] | None = None) -> RunSpec:
        base = {
            "source.path": str(source_run),
            "data.path": str(stripes(count=24)),
            "data.test": 0.5,
            "data.test_seed": 0,
            "data.per_class": 10,
            "optimizer.lr": 0.003,
        }
        return RunSpec.from_flags({**settings(base), **(changes or {})})

    return small


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Make all runs of studies in this process, and log them."""
    return made_here(monkeypatch)

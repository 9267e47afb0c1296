"""What the tests of the engine share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tether import RunSpec


@pytest.fixture(scope="session")
def tuned(settings: Callable[..., dict[str, Any]], source_run: Path) -> Callable[..., RunSpec]:
    """The spec of a run of 9 steps from the small source, with a new head and with changes."""

    def tuned(changes: Mapping[str, Any] | None = None) -> RunSpec:
        base = {"source.path": str(source_run), "source.exclude": ["head.*"], "optimizer.lr": 0.003}
        return RunSpec.from_flags(settings(base | dict(changes or {})))

    return tuned

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tether.cli.app import COMMANDS, run


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def tether(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line, in this process."""

    def tether(*words: object) -> Done:
        capsys.readouterr()
        code = run([str(word) for word in words], COMMANDS)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return tether


@pytest.fixture
def small(settings: Callable[..., dict[str, object]]) -> list[str]:
    """Flags of a run that takes a tenth of a second."""
    found = settings()
    flags = ["--model", "digits-cnn", "--size", "12", "--set", "preprocessing.channels=1", "--epochs", "3"]
    return [*flags, "--data", str(found["data.path"]), "--per-class", "6", "--batch-size", "6", "--device", "cpu"]

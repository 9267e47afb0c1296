"""A case: an input that someone may give, and what Tether decides about it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One row of the table of faults.

    Args:
        name: what is wrong with the input, in words.
        make: lays the input out below an empty folder and returns the words of the command.
        says: each is in what the command prints: on stderr of a refusal, on stdout or stderr else.
        code: the exit code; 2 is a refusal in three lines, with nothing written; 0 is a stated handling.
    """

    name: str
    make: Callable[[Path], list[object]]
    says: tuple[str, ...]
    code: int = 2


def canary(folder: Path) -> Path:
    """What an input that gets its code run makes; the runner of the cases asserts that it is never there."""
    return folder / "EXECUTED"

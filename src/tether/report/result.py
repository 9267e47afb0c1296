"""Result: a comparison as JSON, in full precision; docs/report.md says what each key is."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

from tether.escaping import json_text
from tether.study.comparison import Comparison
from tether.study.multiple import Verdict

VERSION = 1
LEFT_OUT = frozenset({"outcome"})  # of a run, whose folder has it


def to_json(found: Comparison) -> str:
    """All that a comparison holds but the runs' own outcomes, with verdicts in words; what is not finite is null."""
    return json_text({"version": VERSION, **_plain(found)}, indent=1) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        names = (one.name for one in fields(value) if one.name not in LEFT_OUT)
        return {name: _plain(getattr(value, name)) for name in names} | _derived(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _derived(value: Any) -> dict[str, Any]:
    return {"winner": value.winner, "words": value.words} if isinstance(value, Verdict) else {}

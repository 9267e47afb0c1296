"""Space: settings that a search chooses from a range, on a logarithmic scale."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.fields import Field, fields
from tether.registry import did_you_mean
from tether.settings import dotted, key_parts, with_settings
from tether.spec import RunSpec
from tether.study.baselines import idle
from tether.study.configuration import Configuration, is_condition
from tether.study.known import PRESETS
from tether.words import key_and_rest

MOST_LETTERS = 1000
NUMBER = re.compile(r"[+-]?(\d[\d_]*(\.\d+)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf|nan", re.ASCII)
DIGITS = 3  # of a value that a search tries: finer ones differ by nothing that a few seeds could show
ARGUMENT = "plan.args."
EXAMPLE = "--search plan.scale=0.01..100"
UNFIT = {
    "seed": "every configuration has the same seeds, so that they are compared in pairs",
    "version": "it is the spec's format",
    "threads": "it changes how fast a run is and not what it learns, and is one for all runs",
    "checkpoint.every": "it changes nothing that a run learns",
    "checkpoint.keep": "it changes nothing that a run learns",
    "data.validation": "a search chooses by the validation pictures, which must be the same for what it compares",
}


@dataclass(frozen=True)
class Range:
    """A setting by dotted key, and the ends of what is tried for it.

    Args:
        whole: whether it takes whole numbers only.

    >>> print(Range("plan.scale", 0.01, 100.0))
    plan.scale=0.01..100
    """

    key: str
    low: float
    high: float
    whole: bool = False

    def near(self, value: float) -> float:
        """The value that is tried for one that was drawn: of three digits, and within the range.

        >>> Range("plan.scale", 0.01, 100.0).near(3.14159)
        3.14
        """
        return int(value) if self.whole else min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.key}={_short(self.low)}..{_short(self.high)}"


def read_range(text: str) -> tuple[str, tuple[float, float]]:
    """The key of a searched setting, and its ends, from `KEY=LOW..HIGH`.

    Raises:
        SettingsError: it is not of that form.

    >>> read_range("plan.scale=0.01..100")
    ('plan.scale', (0.01, 100.0))
    """
    parts = key_and_rest(text) if len(text) <= MOST_LETTERS else None
    ends = [end.strip() for end in parts[1].split("..")] if parts and "..." not in parts[1] else []
    if parts is None or len(ends) != 2 or not all(map(NUMBER.fullmatch, ends)):
        raise SettingsError(
            f"`--search {terminal(text)}` is not KEY=LOW..HIGH",
            why="it is a key of the spec, an equals sign, and two numbers with two dots between",
            fix=f"{EXAMPLE}, without spaces",
        )
    return parts[0], (float(ends[0]), float(ends[1]))


def ranges(search: Mapping[str, Sequence[float]], varied: Collection[str]) -> tuple[Range, ...]:
    """What is searched, each of it a positive number of the spec that says how to train.

    Args:
        varied: the keys of the grid's axes and points.

    Raises:
        SettingsError: a setting is unknown, is no number, says what is learnt from what, is varied too or there twice;
            or a range is empty, has an end that is no number, or one that is not above 0.
    """
    found: dict[str, Range] = {}
    for typed, ends in search.items():
        key = dotted(tuple(key_parts(typed)))
        refuse_unfit(key, varied)
        if key in found:
            raise SettingsError(
                f"`{terminal(key)}` is searched twice",
                why="which of the ranges is meant is not for Tether to guess",
                fix="leave out one of them",
            )
        low, high = _ends(key, ends)
        found[key] = Range(key, low, high, _is_whole(key))
        _refuse_empty(found[key])
    return tuple(found.values())


def refuse_unfit(key: str, varied: Collection[str]) -> None:
    """Refuse a key that no search may choose a value for.

    Raises:
        SettingsError: see `ranges`.
    """
    known = _numbers()
    if key in UNFIT:
        raise SettingsError(f"`{terminal(key)}` cannot be searched", why=UNFIT[key], fix="leave it out")
    if key not in known and not key.startswith(ARGUMENT):
        section = _fields().get(key)
        if section is not None:
            raise SettingsError(
                f"`{terminal(key)}` cannot be searched",
                why=f"a search draws numbers, and it takes {section.takes}",
                fix=f"--vary {terminal(key)}=VALUE,VALUE",
            )
        near = [*known, *(dotted(("plan", "args", name)) for name in _arguments())]
        why = "a search draws numbers for settings that are numbers"
        raise SettingsError(f"no number is named `{terminal(key)}`", why=why, fix=did_you_mean(key, near))
    if is_condition(key):
        raise SettingsError(
            f"`{terminal(key)}` cannot be searched",
            why="it says what is learnt from what: its values are told apart, and none is chosen",
            fix=f"--vary {terminal(key)}=VALUE,VALUE",
        )
    if key in (ARGUMENT + name for name in _texts()):
        raise SettingsError(
            f"`{terminal(key)}` cannot be searched",
            why="a search draws numbers, and it takes text",
            fix=f"--vary {terminal(key)}=VALUE,VALUE",
        )
    if key in varied or (key.startswith(ARGUMENT) and "plan.args" in varied):
        raise SettingsError(
            f"`{terminal(key)}` is both varied and searched",
            why="a value is either listed, and compared, or chosen from a range",
            fix="leave out one of them",
        )


def of_use(one: Configuration, searched: Iterable[Range]) -> tuple[Range, ...]:
    """Those that change something in the runs of a configuration.

    Raises:
        SettingsError: an end of one is out of what the setting takes.
    """
    used = tuple(each for each in searched if not _is_idle(one, each.key))
    for each in used:
        for end in (each.low, each.high):
            value = int(end) if each.whole else end
            tree = with_settings(one.spec.model_dump(exclude_none=True), {each.key: value})
            RunSpec.parse(tree, origin=f"`--search {each}`", typed={each.key: f"--search {each.key}"})
    return used


def refuse_unused(searched: Iterable[Range], used: Collection[str]) -> None:
    """Refuse what no configuration has a use for.

    Raises:
        SettingsError: see above.
    """
    if (idler := next((each.key for each in searched if each.key not in used), None)) is not None:
        raise SettingsError(
            f"no configuration has a use for the searched `{terminal(idler)}`",
            why="it would change nothing",
            fix="leave it out, or vary a plan that has it: --vary plan=…",
        )


def _ends(key: str, ends: Any) -> tuple[float, float]:
    is_pair = isinstance(ends, Sequence) and not isinstance(ends, str) and len(ends) == 2
    if not is_pair or not all(type(end) in (int, float) for end in ends):
        raise SettingsError(
            f"the range of `{terminal(key)}` is {terminal(repr(ends))}, and no two numbers",
            why="a search draws from between a lowest and a highest value",
            fix=f"{{{key!r}: (0.01, 100.0)}}",
        )
    try:
        return float(ends[0]), float(ends[1])
    except OverflowError:
        return math.nan, math.nan


def _refuse_empty(one: Range) -> None:
    why = ""
    if not (math.isfinite(one.low) and math.isfinite(one.high)):
        why = "its ends must be finite numbers"
    elif one.low <= 0:
        why = "values are drawn on a logarithmic scale, which has no 0 and nothing below"
    elif one.low >= one.high:
        why = "its lower end is not below its upper one"
    elif one.whole and not (one.low.is_integer() and one.high.is_integer()):
        why = "the setting takes whole numbers"
    if why:
        key = terminal(one.key)
        raise SettingsError(
            f"nothing can be drawn from the range {one.low:g}..{one.high:g} of `{key}`",
            why=why,
            fix=f"--search {key}={'1..64' if one.whole else '0.01..100'}",
        )


def _is_idle(one: Configuration, key: str) -> bool:
    if key.startswith(ARGUMENT):
        known = PRESETS.get(one.spec.plan.preset or "none")
        return known is not None and key not in {dotted(("plan", "args", name)) for name in known.arguments}
    return any(key == section or key.startswith(f"{section}.") for section in idle(one.spec, one.kind))


def _is_whole(key: str) -> bool:
    return not key.startswith(ARGUMENT) and _numbers()[key].takes.startswith("a whole number")


def _short(value: float) -> str:
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


@cache
def _fields() -> Mapping[str, Field]:
    return fields(RunSpec.model_json_schema())


def _numbers() -> Mapping[str, Field]:
    return {key: one for key, one in _fields().items() if one.takes.startswith(("a number", "a whole number"))}


def _arguments() -> list[str]:
    names = dict.fromkeys(name for known in PRESETS.values() for name in known.arguments)
    return [name for name in names if name not in _texts()]


def _texts() -> set[str]:
    """Arguments that are text, such as a view."""
    return {name for known in PRESETS.values() for name, value in known.defaults.items() if isinstance(value, str)}

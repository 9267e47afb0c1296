"""Words: how numbers and methods are said, alike in the page, in Markdown and in figures."""

import math
from collections.abc import Mapping
from typing import Any

from tether.escaping import terminal
from tether.study.axis import value_text
from tether.study.intervals import Interval
from tether.study.progress import duration

NOTHING = "–"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLAIN = {"none": "plain fine-tuning"}


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals; a dash where there is none.

    >>> number(0.9044), number(-0.05, 1), number(None), number(float("nan"))
    ('0.904', '−0.1', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:z.{digits}f}".replace("-", "−")


def brief(value: float | None) -> str:
    """A number of any size with three digits.

    >>> brief(0.000123), brief(1234.5), brief(0.1), brief(1e-5), brief(-2.5e9)
    ('0.000123', '1,234', '0.1', '10⁻⁵', '−2.5 × 10⁹')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
    digits, _, power = text.replace("-", "−").partition("e")
    raised = f"10{str(int(power.replace('−', '-'))).translate(RAISED)}" if power else ""
    return f"{digits} × {raised}".removeprefix("1 × ") if raised else digits


def span(interval: Interval, digits: int = 3) -> str:
    """Both ends of a mean's interval; empty where one seed gives none.

    >>> span(Interval(0.888, 0.92, 0.904, 0.95, "on this test set", "Student's t", 3, None, 0.0))
    '[0.888, 0.920]'
    """
    if interval.seeds < 2:
        return ""
    return f"[{number(interval.low, digits)}, {number(interval.high, digits)}]"


def points(interval: Interval) -> tuple[str, str]:
    """A difference and both its ends, in percentage points.

    >>> points(Interval(-0.002, 0.028, 0.013, 0.95, "on new data", "crossed t", 10, 200, 0.09))
    ('+1.3', '[−0.2, +2.8]')
    """
    middle, _, ends = interval.points.partition(" points ")
    return middle, ends


def interval_line(interval: Interval) -> str:
    """A difference with both its ends, in one line."""
    middle, ends = points(interval)
    return f"{middle} points {ends}"


def chance(p: float) -> str:
    """A p-value.

    >>> chance(0.0421), chance(1e-9)
    ('0.042', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def said(method: str) -> str:
    """A method's name as the report says it.

    >>> said("none"), said("l2_sp")
    ('plain fine-tuning', 'l2_sp')
    """
    return PLAIN.get(method, terminal(method))


def given(settings: Mapping[str, Any]) -> str:
    """Settings with their values.

    >>> given({"train.momentum": 0.9, "data.augment": False})
    'train.momentum 0.9, data.augment false'
    """
    return ", ".join(f"{terminal(key)} {terminal(value_text(value))}" for key, value in settings.items())


def counted(count: int, one: str, many: str = "") -> str:
    """So many of something.

    >>> counted(1, "seed"), counted(1200, "seed")
    ('1 seed', '1,200 seeds')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def lasting(seconds: float) -> str:
    """A length of time; a dash where it is not known.

    >>> lasting(600), lasting(float("nan"))
    ('10 min', '–')
    """
    return duration(seconds) if math.isfinite(seconds) else NOTHING


def shortened(text: str, longest: int) -> str:
    """A name for a small space; its middle is left out.

    >>> shortened("differential_l2", 20), shortened("a" * 30, 9)
    ('differential_l2', 'aaaaaa…aa')
    """
    text = terminal(text)
    tail = longest // 4
    return text if len(text) <= longest else f"{text[: longest - tail - 1]}…{text[-tail:]}"

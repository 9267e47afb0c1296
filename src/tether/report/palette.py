"""Palette: the colours of a report by what they are for, in a light and a dark scheme.

A figure is drawn in marks that stand for them (`mark`), which become CSS variables, so that it follows the scheme. The
eight series are told apart by people who see fewer colours too, and each has a shape of its own besides.
"""

ROLES = ("paper", "raised", "ink", "muted", "rule", "grid", "accent", "good", "bad")
SERIES = tuple(f"s{number}" for number in range(8))
LIGHT = {
    "paper": "#ffffff",
    "raised": "#f5f6f8",
    "ink": "#1c2128",
    "muted": "#59636e",
    "rule": "#d5dae0",
    "grid": "#e6e9ed",
    "accent": "#0a58a8",
    "good": "#0b6e4f",
    "bad": "#a8321f",
    "s0": "#0068b3",
    "s1": "#c24a00",
    "s2": "#00805e",
    "s3": "#a3398a",
    "s4": "#8a6a00",
    "s5": "#3b8fd0",
    "s6": "#7a2233",
    "s7": "#5f5aa8",
}
DARK = {
    "paper": "#13161b",
    "raised": "#1c2027",
    "ink": "#e8ebef",
    "muted": "#a3adb9",
    "rule": "#3a424d",
    "grid": "#2a3039",
    "accent": "#7cb8ff",
    "good": "#5fd3a6",
    "bad": "#ff9482",
    "s0": "#57aef2",
    "s1": "#ff9650",
    "s2": "#3ecf9f",
    "s3": "#f08fd4",
    "s4": "#e3c34a",
    "s5": "#a9d8ff",
    "s6": "#ff8a9f",
    "s7": "#b0a9ff",
}
_MARKS = {name: f"#0102{number:02x}" for number, name in enumerate((*ROLES, *SERIES))}


def mark(name: str) -> str:
    """A colour that no scheme has and that stands for one of the palette while a figure is drawn.

    >>> mark("paper"), mark("ink")
    ('#010200', '#010202')
    """
    return _MARKS[name]


def coloured(svg: str) -> str:
    """SVG in which every mark is the CSS variable that it stands for.

    >>> coloured("fill: #010202")
    'fill: var(--ink)'
    """
    for name, colour in _MARKS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def variables(scheme: dict[str, str]) -> str:
    """A scheme as CSS."""
    return "".join(f"--{name}:{colour};" for name, colour in scheme.items())

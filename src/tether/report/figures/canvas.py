"""Canvas: draws with Matplotlib and gives SVG for the inside of a page: small, without a global id, style or colour."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from tether.escaping import printable, terminal
from tether.report.palette import coloured, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 360  # of a panel; a phone shows it as it is, and a wide screen three beside one another
DPI = 72  # the unit of SVG is then the point of Matplotlib
LONG = re.compile(r"-?\d+\.\d+")
FONT = re.compile(r"font-family:[^;]*;?|stroke-linecap: ?square;?")  # the page has its own
METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 12,
    "axes.labelpad": 5,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.linewidth": 0.8,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 5,
    "ytick.major.pad": 5,
    "lines.linewidth": 1.6,
    "lines.markersize": 6.5,
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
COLOURS = {
    "text.color": "ink",
    "axes.labelcolor": "muted",
    "axes.edgecolor": "rule",
    "xtick.color": "muted",
    "ytick.color": "muted",
    "grid.color": "grid",
}


@dataclass(frozen=True)
class Picture:
    """A figure.

    Args:
        key: unlike that of every other figure of the page.
        caption: what stands above it.
        title, description: for those who cannot see it.
        draw: given the axes, when the figure is asked for.
    """

    key: str
    caption: str
    title: str
    description: str
    draw: Callable[["Axes"], None]
    height: float

    @property
    def svg(self) -> str:
        """The figure as an element of the page."""
        return _inline(_drawn(self.draw, self.key, self.height), self.key, (self.title, self.description))


def picture(
    key: str, caption: str, draw: Callable[["Axes"], None], *, title: str, description: str, height: float = 240
) -> Picture:
    """One panel."""
    return Picture(key, caption, title, description, draw, height)


def _drawn(draw: Callable[["Axes"], None], key: str, height: float) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = STYLE | {name: mark(colour) for name, colour in COLOURS.items()} | {"svg.hashsalt": key}
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's fonts draw it, not ours
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout="constrained")
        draw(figure.add_subplot())
        stream = StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(stream, metadata=METADATA)
    return stream.getvalue()


def _inline(text: str, key: str, said: tuple[str, str]) -> str:
    root = ElementTree.fromstring(text)
    _rename(root)
    used = set(re.findall(r"#([\w-]+)", text))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        _clean(element, key, used)
    _flatten(root)
    root.attrib = {"viewBox": root.attrib["viewBox"]}
    _describe(root, key, said)
    return coloured(ElementTree.tostring(root, encoding="unicode"))


def _rename(root: ElementTree.Element) -> None:
    """Take the namespaces away, which a page implies."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}


def _clean(element: ElementTree.Element, key: str, used: set[str]) -> None:
    """Keep only ids that something refers to, with the figure's key before them, and two decimals."""
    found = {}
    for name, value in element.attrib.items():
        if name == "id":
            if value in used:
                found[name] = f"{key}-{value}"
        elif name == "style":
            found[name] = _short(FONT.sub("", value)).replace("; ", ";").replace(": ", ":").strip("; ")
        elif name == "transform" and value.startswith("rotate(-0 "):
            continue
        elif name == "href":
            found[name] = f"#{key}-{value.removeprefix('#')}"
        else:
            found[name] = _short(value).replace("url(#", f"url(#{key}-").strip()
    element.attrib = found
    if element.tag != "text":
        element.text = None
    element.tail = None


def _flatten(parent: ElementTree.Element) -> None:
    """Take away groups that say nothing."""
    children: list[ElementTree.Element] = []
    for child in parent:
        _flatten(child)
        if child.tag == "path" and child.attrib.get("style") == "fill:none":
            continue
        bare = child.tag in ("g", "defs") and not child.attrib
        if (child.tag == "defs" and len(child)) or not bare:
            children.append(child)
        elif child.tag == "g":
            children.extend(child)
    parent[:] = children


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", LONG.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), text))


def _describe(root: ElementTree.Element, key: str, said: tuple[str, str]) -> None:
    root.attrib |= {"class": "figure", "role": "img", "aria-labelledby": f"{key}-title {key}-desc"}
    for place, (tag, words) in enumerate(zip(("title", "desc"), said, strict=True)):
        element = ElementTree.Element(tag, {"id": f"{key}-{tag}"})
        element.text = terminal(words) if tag == "title" else printable(words)
        root.insert(place, element)


def ends(values: Sequence[float], *, within: tuple[float, float] | None = None) -> tuple[float, float]:
    """Limits of an axis with room at both sides."""
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    room = 0.06 * (high - low) or 0.02
    return low - room, high + room

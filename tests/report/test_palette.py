import pytest

from tether.report.palette import DARK, LIGHT, ROLES, SERIES, coloured, mark

SCHEMES = {"light": LIGHT, "dark": DARK}
TINT = 0.4  # the most that a cell of a matrix is tinted, in template.html


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(colour: str, paper: str, share: float) -> str:
    pairs = [(int(colour[p : p + 2], 16), int(paper[p : p + 2], 16)) for p in (1, 3, 5)]
    return "#" + "".join(f"{round(share * one + (1 - share) * other):02x}" for one, other in pairs)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("paper", ["paper", "raised"])
@pytest.mark.parametrize("text", ["ink", "muted", "accent", "good", "bad"])
def test_text_can_be_read(scheme: str, paper: str, text: str) -> None:
    assert contrast(SCHEMES[scheme][text], SCHEMES[scheme][paper]) >= 4.5  # WCAG 2.2, 1.4.3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("series", SERIES)
def test_lines_can_be_seen(scheme: str, series: str) -> None:
    assert contrast(SCHEMES[scheme][series], SCHEMES[scheme]["paper"]) >= 3  # WCAG 2.2, 1.4.11


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("tint", ["s0", "bad"])
def test_counts_in_a_tinted_cell_can_be_read(scheme: str, tint: str) -> None:
    colours = SCHEMES[scheme]
    assert contrast(colours["ink"], mixed(colours[tint], colours["paper"], TINT)) >= 4.5


def test_both_schemes_have_every_colour() -> None:
    assert LIGHT.keys() == DARK.keys() == {*ROLES, *SERIES}


def test_marks_are_told_apart() -> None:
    names = (*ROLES, *SERIES)
    assert coloured(" ".join(map(mark, names))) == " ".join(f"var(--{name})" for name in names)

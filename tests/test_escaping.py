import csv
import html as markup
import io
import json
import re
import unicodedata
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from tether.escaping import LONGEST, cell, figure, html, json_text, markdown, printable, terminal

HOSTILE = "\n\r\x1b\x9b\u202e\u2028\udcff\u0301`|$<&=;\"'\\"
TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from(HOSTILE))


@given(TEXT)
def test_what_is_shown_on_a_terminal_is_one_printable_line(text: str) -> None:
    shown = terminal(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= LONGEST


@given(TEXT)
def test_escaping_again_changes_nothing(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert terminal(terminal(text)) == terminal(text)
    assert cell(cell(text)) == cell(text)


@given(TEXT)
def test_a_name_is_one_cell_and_one_piece_of_code_in_a_markdown_table(text: str) -> None:
    shown = markdown(text)
    assert re.fullmatch(r"`[^`|]+`", shown)
    assert shown.isprintable()


@given(TEXT)
def test_html_has_no_tag_and_reads_back(text: str) -> None:
    assert not set("<>\"'") & set(html(text))
    assert markup.unescape(html(text)) == terminal(text)
    root = ElementTree.fromstring(f'<a title="{html(text)}">{html(text)}</a>')
    assert (root.text or "", root.attrib["title"]) == (terminal(text), terminal(text))


@given(TEXT)
def test_a_template_that_escapes_by_itself_takes_a_terminals_name(text: str) -> None:
    page = Environment(autoescape=True).from_string("<p>{{ name }}</p>").render(name=terminal(text))
    assert markup.unescape(page) == f"<p>{terminal(text)}</p>"
    assert page.count("<") == 2


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_cells_read_back_and_none_is_a_formula(rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([map(cell, row) for row in rows])
    assert stream.getvalue().count("\n") == len(rows)
    found = list(csv.reader(io.StringIO(stream.getvalue()), strict=True))
    assert found == [[cell(one), cell(other)] for one, other in rows]
    assert not [text for row in found for text in row if text[:1] in tuple("=+-@\t\r\n")]


@given(st.dictionaries(TEXT, TEXT | st.lists(TEXT) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_json_is_utf_8_without_control_characters_and_reads_back(value: dict[str, object]) -> None:
    for indent in (None, 1):
        text = json_text(value, indent=indent)
        assert json.loads(text.encode()) == json.loads(json.dumps(value))
        assert all(printable(c) == c or c == "\n" or unicodedata.category(c) in ("Mn", "Me") for c in text)


@given(TEXT)
def test_no_name_is_mathematics_in_a_figure(text: str) -> None:
    shown = figure(text)
    assert not re.search(r"(?<!\\)\$", shown)
    assert shown.replace(r"\$", "$") == terminal(text)


@pytest.mark.parametrize("name", [r"$\frac{$", "$a$ and $", "<svg onload=x>", "a&b", r"\$1", "-->", "]]>"])
def test_a_figure_shows_the_name_as_it_is(name: str) -> None:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(4, 1))
    drawn.text(0, 0.5, figure(name))
    stream = io.StringIO()
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        drawn.savefig(stream, format="svg")
    texts = ["".join(e.itertext()) for e in ElementTree.fromstring(stream.getvalue()).iter() if e.tag.endswith("text")]
    assert texts == [name]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("größe 猫 кот", "größe 猫 кот"),
        ("cafe\u0301", "cafe\u0301"),  # as a Mac writes file names
        ("a\nerror: b", r"a\nerror: b"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J\x85", r"\x9b2J\x85"),
        ("a\u202eb\u2066", r"a\u202eb\u2066"),
        ("a\u200bb\u2060\ufeff", r"a\u200bb\u2060\ufeff"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("a\udcff\ud800", r"a\udcff\ud800"),
        ("\u0301a", r"\u0301a"),
        ("a" + "\u0301" * 6, "a" + "\u0301" * 4 + r"\u0301\u0301"),
        ("a\u3164b\ufe0f\U000e0041", r"a\u3164b\ufe0f\U000e0041"),
        ("\x7f\b", r"\x7f\x08"),
    ],
)
def test_what_can_be_read_stays_and_the_rest_is_spelled(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_name_keeps_its_ends() -> None:
    shown = terminal("begin" + "a" * 10_000 + "end")
    assert shown.startswith("begina")
    assert shown.endswith("aend")
    assert len(shown) == LONGEST
    assert terminal("a" * LONGEST) == "a" * LONGEST


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1+1", "＝1", '=HYPERLINK("http://x";"y")'])
def test_a_formula_gets_an_apostrophe(name: str) -> None:
    assert cell(name) == f"'{name}"


def test_a_name_within_a_folder_is_no_formula() -> None:
    assert cell("photos/=1+1.png") == "photos/=1+1.png"


def test_json_keeps_letters_and_refuses_what_json_has_not() -> None:
    assert json_text({"é猫": "a\u202e\x7f\U000e0041"}) == r'{"é猫": "a\u202e\u007f\udb40\udc41"}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))

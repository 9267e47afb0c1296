import csv
import html as markup
import io
import re
import tomllib
from xml.etree import ElementTree

import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from tether.escaping import LONGEST, cell, html, markdown, printable, terminal, toml_text

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


WHOLE = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(HOSTILE.replace("\udcff", "")))


@given(st.dictionaries(WHOLE, WHOLE))
def test_toml_reads_back_equal_and_shows_all(tree: dict[str, str]) -> None:
    text = toml_text(tomli_w.dumps(tree))
    assert tomllib.loads(text) == tree
    assert all(line.isprintable() for line in text.split("\n"))

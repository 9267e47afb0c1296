from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from report.made import made, recipes
from tether.report.markdown import markdown, plain
from tether.study.comparison import Comparison

READER = MarkdownIt("gfm-like", {"linkify": False}).enable("table")
HOSTILE = (
    *("<b>x</b>", "[x](javascript:alert(1))", "![x](y)", "a|b", "`a`", "**a**", "_a_", "# a", "1. a", "- a", "&lt;"),
    *("a\n\n# b", "https://a.b", "www.a.b", "\\", "~~a~~", "+ a", "= a"),
)


def flat(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *flat(token.children or []))]


def test_tables_are_read_as_tables(found: Comparison) -> None:
    tokens = READER.parse(markdown(found))
    widths, row = [], 0
    for one in tokens:
        row = 0 if one.type == "tr_open" else row + (one.type in ("td_open", "th_open"))
        if one.type == "tr_close":
            widths.append(row)
    assert len(widths) > 50
    assert min(widths) >= 2
    titles = [tokens[place + 1].content for place, one in enumerate(tokens) if one.type == "heading_open"]
    assert titles[:2] == [found.title, "What was found"]


def test_the_summary_stands_in_it_and_the_numbers_too(found: Comparison) -> None:
    text = markdown(found)
    sentence = found.summary[0].removeprefix(f"{found.groups[0].name}: ")
    assert plain(sentence) in text
    mean = found.groups[0].candidate("l2").means["accuracy"]
    assert f"{mean.estimate:.3f} \\[{mean.low:.3f}, {mean.high:.3f}\\]" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_sentence_is_read_as_it_is(text: str) -> None:
    for written in (plain(text), f"- {plain(text)}"):
        found = flat(READER.parse(written))
        kinds = {one.type for one in found if one.type not in ("inline", "text", "text_special")}
        assert kinds <= {"paragraph_open", "paragraph_close", *LIST}
        assert "".join(one.content for one in found if one.type.startswith("text")).strip() == text.replace("\n", "\\n")


LIST = ("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_is_read_as_anything_else(text: str) -> None:
    tried = [replace(one, name=text + one.name, method=text) if one.name == "l2_sp" else one for one in recipes()]
    found = made(per_class=(5,), seeds=2, items=20, tried=tried, title=text, broken={("none", 1): text})
    tokens = flat(READER.parse(markdown(replace(found, command=text, spec=f"```\n{text}"))))
    assert not [one for one in tokens if one.type in ("html_block", "html_inline", "image")]
    links = [str(one.attrs["href"]) for one in tokens if one.type == "link_open"]
    assert all(link.startswith("tables/") for link in links)
    assert sum(one.type == "heading_open" and one.tag == "h1" for one in tokens) == 1

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from report.browser import MISSING, Browser
from report.made import made
from tether.report.page import page

pytestmark = pytest.mark.skipif(MISSING, reason="chromium and chromedriver are not installed")
TAB, ENTER = "\ue004", "\ue007"
WIDE, PHONE, PAPER = 1280, 360, 690  # A4 less its margins, at 96 pixels an inch


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser.started(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def place(html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.mark.parametrize(("scheme", "background"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(19, 22, 27)")])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_it_opens_without_an_error_or_a_request(
    browser: Browser, place: Path, scheme: str, background: str, width: int
) -> None:
    browser.clear()
    browser.open(place, width=width, scheme=scheme)
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == background
    assert browser.requested() == [place.as_uri()]
    assert browser.log("browser") == []


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_page_does_not_scroll_sideways(browser: Browser, place: Path, width: int) -> None:
    browser.open(place, width=width)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.run("return document.documentElement.scrollWidth") == width
    tables = "[...document.querySelectorAll('table')]"
    assert browser.run(f"return {tables}.every(one => one.closest('.scroll') !== null)")


def test_no_text_of_a_figure_is_cut(browser: Browser, place: Path) -> None:
    browser.open(place, width=WIDE)
    cut = browser.run(
        "return [...document.querySelectorAll('svg.figure')].flatMap(svg => {"
        "const box = svg.getBoundingClientRect();"
        "return [...svg.querySelectorAll('text')].filter(one => {const own = one.getBoundingClientRect();"
        "return own.left < box.left - 2 || own.right > box.right + 2 || own.bottom > box.bottom + 2})"
        ".map(one => one.textContent)})"
    )
    assert cut == []


def test_the_figures_of_one_condition_are_larger_than_those_of_three(browser: Browser, tmp_path: Path) -> None:
    found = made(per_class=(5, 20, 50), seeds=2, items=20)
    alone = replace(found, groups=found.groups[:1])
    widths = {}
    for name, one in (("one", alone), ("three", found)):
        (tmp_path / f"{name}.html").write_text(page(one), encoding="utf-8")
        browser.open(tmp_path / f"{name}.html", width=1440)
        boxes = "[...document.querySelectorAll('#strength svg.figure')].map(one => one.getBoundingClientRect())"
        widths[name], tops = browser.run(f"const boxes = {boxes}; return [boxes[0].width, boxes.map(one => one.top)]")
        assert len(set(tops)) == {"one": 1, "three": 2}[name]  # side by side
    assert widths["one"] >= 1.4 * widths["three"]


def test_the_keyboard_reaches_the_content_and_unfolds_a_table(browser: Browser, place: Path) -> None:
    browser.open(place)
    browser.press(TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    assert browser.run("return document.activeElement.getBoundingClientRect().left") == 0
    browser.press(ENTER)
    assert browser.run("return location.hash + document.activeElement.id") == "#mainmain"
    for _ in range(20):
        browser.press(TAB)
        if browser.run("return document.activeElement.tagName") == "SUMMARY":
            break
    outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    browser.press(ENTER)
    assert (browser.run("return document.activeElement.parentElement.open"), outline) == (True, "solid")


def test_a_candidate_leads_to_its_runs(browser: Browser, place: Path) -> None:
    browser.open(place)
    browser.run("document.querySelector('#candidates tbody tr:nth-child(3) a').click()")
    assert re.fullmatch("#runs-0-2", browser.run("return location.hash"))
    top = browser.run("return document.querySelector(':target').getBoundingClientRect().top")
    assert 0 <= top < 900


def test_it_prints(browser: Browser, place: Path) -> None:
    browser.open(place, scheme="dark")
    printed = browser.printed()
    assert printed.startswith(b"%PDF-")
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 40


def test_tables_are_as_wide_as_the_paper(browser: Browser, place: Path) -> None:
    browser.open(place, width=PAPER, media="print")
    assert browser.run("return document.documentElement.scrollWidth") == PAPER
    assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.run("return getComputedStyle(document.body).color") == "rgb(28, 33, 40)"

import base64
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from report.made import Recipe, made, recipes
from report.read import Element, read
from tether.report.page import CARRIED, page
from tether.report.sections.runs import MOST_RUNS
from tether.study.comparison import Comparison

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "](javascript:alert(1)) **bold** `code` | cell",
    "\u202egnp.exe",
    "שלום · λ",
    "a" * 300,
    "$x$ & y\nz\x1b[2J",
    "=HYPERLINK(1)",
)


@pytest.fixture(scope="module")
def root(html: str) -> Element:
    return read(html)


def test_the_parts_of_a_page_are_in_their_order(root: Element) -> None:
    titles = [one.text for one in root.all("h2")]
    assert titles == [
        *("What was found", "What was asked, and on what", "Differences from plain fine-tuning"),
        *("What the strength does", "Target accuracy against what is kept", "By the number of training pictures"),
        *("Is there negative transfer?", "How far it moves from the source", "Learning curves"),
        *("Can its confidence be believed?", "What is taken for what", "All candidates", "What it costs"),
        *("Every run", "Limits of what is said", "Where it comes from"),
    ]
    assert [one.text for one in root.all("nav")[0].all("a")] == titles


def test_headings_go_down_by_one(root: Element) -> None:
    levels = [int(one.tag[1]) for one in root.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_there_are_landmarks_and_a_language(root: Element) -> None:
    assert root.all("html")[0].attributes["lang"] == "en"
    assert [len(root.all(tag)) for tag in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    assert root.all("a")[0].attributes == {"class": "skip", "href": "#main"}


def test_ids_are_unlike_and_links_lead_to_them(root: Element) -> None:
    ids = [one.attributes["id"] for one in root.all() if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    inner = [one.attributes["href"][1:] for one in root.all("a", "use") if one.attributes["href"].startswith("#")]
    assert len(inner) > 100
    assert set(inner) <= set(ids)
    named = " ".join(one.attributes[key] for one in root.all() for key in NAMED if key in one.attributes).split()
    assert set(named) <= set(ids)


NAMED = ("aria-labelledby", "aria-describedby")


def test_nothing_comes_from_a_network_and_nothing_runs(root: Element, html: str) -> None:
    assert not root.all("script", "link", "iframe", "object", "embed", "img", "base", "form")
    assert not [name for one in root.all() for name in one.attributes if name.startswith("on")]
    found = [one.attributes[key] for one in root.all() for key in ("href", "src") if key in one.attributes]
    assert {re.match(r"#|\./|data:text/csv", one)[0] for one in found} == {"#", "./", "data:text/csv"}
    assert "http:" not in html.replace("http-equiv", "")
    assert "https:" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    policy = next(one for one in root.all("meta") if "http-equiv" in one.attributes)
    assert policy.attributes["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_every_figure_has_a_title_and_a_text_for_those_who_do_not_see_it(root: Element) -> None:
    figures = [one for one in root.all("svg") if one.attributes.get("role") == "img"]
    assert len(figures) == 17
    for one in figures:
        title, said = one.children[:2]
        assert isinstance(title, Element) and isinstance(said, Element)
        assert (title.tag, said.tag) == ("title", "desc")
        assert one.attributes["aria-labelledby"] == f"{title.attributes['id']} {said.attributes['id']}"
        assert len(title.text) > 10
        assert re.search(r"\d", said.text)
    others = [one for one in root.all("svg") if one.attributes.get("role") != "img"]
    assert {one.attributes["aria-hidden"] for one in others} == {"true"}


def test_figures_follow_the_scheme(html: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert "var(--ink)" in drawn
    assert not re.search(r"#[0-9a-f]{6}\b", drawn)
    assert not re.search(r"(fill|stroke):(?!none|var\()", drawn)


def test_every_table_has_a_caption_and_headings(root: Element) -> None:
    tables = root.all("table")
    assert len(tables) > 20
    for one in tables:
        assert one.all("caption")[0].text.strip()
        scopes = [head.attributes["scope"] for head in one.all("th")]
        assert set(scopes) == {"col", "row"}
        widths = {sum(isinstance(cell, Element) for cell in row.children) for row in one.all("tr")}
        assert len(widths) == 1


def test_every_run_is_reached(found: Comparison, root: Element) -> None:
    links = {unquote(one.attributes["href"]) for one in root.all("a")}
    runs = [run for group in found.groups for one in group.candidates for run in one.runs]
    assert {f"./{run.folder}" for run in runs if run.status != "missing"} <= links
    assert not {f"./{run.folder}" for run in runs if run.status == "missing"} & links
    assert "the loss is not finite at epoch 4, step 31" in root.text
    assert "13 candidates" in root.all("header")[0].text


def test_a_candidate_leads_to_its_runs(root: Element) -> None:
    section = next(one for one in root.all("section") if one.attributes["id"] == "candidates")
    link = next(one for one in section.all("a") if one.text == "l2_sp · plan.scale 10")
    place = next(one for one in root.all("tr") if one.attributes.get("id") == link.attributes["href"][1:])
    assert place.all("th")[0].text == "l2_sp · plan.scale 10"
    assert len(place.all("li")) == 4


def test_numbers_are_those_of_the_comparison(found: Comparison, root: Element) -> None:
    contrast = found.groups[0].contrasts[0]
    section = next(one for one in root.all("section") if one.attributes["id"] == "differences")
    row = section.all("tbody")[0].all("tr")[0].text
    low, high = (100 * value for value in (contrast.verdict.interval.low, contrast.verdict.interval.high))
    assert f"[{low:+.1f}, {high:+.1f}]".replace("-", "−") in row
    mean = found.groups[1].candidate("l2").means["accuracy"]
    assert f"{mean.estimate:.3f} [{mean.low:.3f}, {mean.high:.3f}]" in root.text


def test_a_link_to_a_run_holds_from_another_folder(found: Comparison) -> None:
    links = [one.attributes["href"] for one in read(page(found, root="../studies/one")).all("a")]
    assert f"./../studies/one/{found.groups[0].candidates[0].runs[0].folder}" in links


def test_no_name_is_read_as_anything_else() -> None:
    plain, name = recipes()[2], "".join(HOSTILE[:4])
    tried = [plain, *(Recipe(f"{one} x{scale}", one, 0.0, 0.9, scale, one) for one in HOSTILE for scale in (1.0, 2.0))]
    broken = {(f"{HOSTILE[0]} x1.0", 0): name, (f"{HOSTILE[1]} x1.0", 0): ""}
    found = made(per_class=(5,), seeds=2, items=20, tried=tried, classes=HOSTILE, layers=HOSTILE, broken=broken)
    group = found.groups[0]
    runs = [replace(one, folder=Path(f"runs/{HOSTILE[one.seed]}")) for one in group.candidates[0].runs]
    group = replace(
        group,
        name=name,
        measure=name,
        settings={"data.per_class": name},
        candidates=(replace(group.candidates[0], runs=tuple(runs)), *group.candidates[1:]),
    )
    said = {"title": name, "command": name, "spec": name, "summary": HOSTILE, "notes": HOSTILE, "data": {name: name}}
    html = page(replace(found, groups=(group,), environments=({name: name},), **said))
    root = read(html)
    assert not root.all("script", "img", "iframe")
    assert not [key for one in root.all() for key in one.attributes if key.startswith("on")]
    assert not {"\u202e", "\x1b"} & set(html)
    assert "{{ 7 * 7 }}" in root.all("h1")[0].text
    assert all(re.match(r"#|\./|data:text/csv", one.attributes["href"]) for one in root.all("a"))


def test_of_very_many_conditions_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tether.report.scene.MOST_DRAWN", 2)
    root = read(page(made(per_class=tuple(range(4, 13)), seeds=2, items=10, tried=recipes()[2:5])))
    section = next(one for one in root.all("section") if one.attributes["id"] == "differences")
    assert "7 more conditions have no figure here; the tables have them." in section.text
    assert (len(section.all("figure")), len(section.all("table"))) == (2, 18)


ODD = {
    "one seed": {"seeds": 1},
    "no validation": {"validated": False},
    "no retention": {"retained": False},
    "no strength": {"tried": recipes()[:4]},
    "two classes": {"classes": ("a", "b")},
    "two hundred classes": {"classes": tuple(f"class {n}" for n in range(200))},
    "no run has ended": {"broken": {(one.name, seed): "" for one in recipes() for seed in range(3)}},
    "all failed": {"broken": {(one.name, seed): "no memory" for one in recipes() for seed in range(3)}},
    "only scratch": {"tried": [Recipe("scratch", "scratch", 0.0, None)]},
    "forty layers": {"layers": [f"blocks.{n}.conv" for n in range(40)]},
    "a strength of zero": {
        "tried": [Recipe("none", "none", 0, 0.9), *[Recipe(f"p{s}", "p", 0, 0.9, s, "zero") for s in (0.0, 1.0)]]
    },
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_an_odd_study_is_told_all_the_same(changes: dict[str, object]) -> None:
    found = made(**({"per_class": (5,), "seeds": 3, "items": 20} | changes))
    root = read(page(found))
    assert len(root.all("h2")) >= 15
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", root.text)


def test_a_study_without_anything_is_told() -> None:
    empty = replace(made(per_class=(5,), seeds=1, items=4), groups=(), summary=(), notes=(), data={}, environments=())
    assert "no run has ended" in read(page(empty)).text


def test_one_seed_has_no_interval() -> None:
    root = read(page(made(per_class=(5,), seeds=1, items=50)))
    section = next(one for one in root.all("section") if one.attributes["id"] == "candidates")
    assert "[" not in section.text


def test_thousands_of_runs_stay_small_and_what_is_left_out_is_said() -> None:
    found = made(per_class=(5, 20), seeds=250, items=8, tried=[replace(one, epochs=1) for one in recipes()])
    html = page(found)
    assert len(html) < 3_000_000
    root = read(html)
    listed = [one for one in root.all("a") if one.attributes["href"].startswith("./runs/")]
    assert len(listed) == MOST_RUNS
    assert "more in runs.csv" in root.text
    assert f"Only {MOST_RUNS:,} are listed here." in root.text
    csv = next(one for one in root.all("a") if one.text == "runs.csv")
    assert csv.attributes["href"] == "./tables/runs.csv"


def test_a_small_table_is_carried_by_the_page(root: Element) -> None:
    link = next(one for one in root.all("a") if one.text == "differences.csv")
    assert link.attributes["download"] == "differences.csv"
    content = base64.b64decode(link.attributes["href"].partition("base64,")[2])
    assert content.startswith(b"group,method,new_data,new_data_low,new_data_high,p,verdict,test_set,")
    assert len(content) < CARRIED


def test_what_is_not_finite_is_a_dash() -> None:
    found = made(per_class=(5,), seeds=2, items=20)
    group = found.groups[0]
    bad = replace(group.candidates[0], seconds=float("nan"), strength=float("inf"), validation=(float("nan"), 0.0))
    html = page(replace(found, groups=(replace(group, candidates=(bad, *group.candidates[1:])),)))
    assert "nan" not in read(html).text
    assert "inf" not in re.sub("info|inf[a-z]", "", read(html).text)

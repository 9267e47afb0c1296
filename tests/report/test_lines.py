import re
from dataclasses import replace

import pytest

from report.made import made, recipes_beside
from report.read import Element, read
from tether.report.figures.lines import DOTTED, Lines
from tether.report.figures.marks import LINES, Marks
from tether.report.page import page
from tether.report.scene import Scene
from tether.study.comparison import Comparison

KEY = "optimizer.lr"


@pytest.fixture(scope="module")
def varied() -> Comparison:
    """A study that varies the learning rate beside the plan, under two conditions."""
    return made(per_class=(5, 20), seeds=2, items=30, tried=recipes_beside(KEY, (0.1, 0.01)))


def section(found: Comparison, key: str) -> Element:
    return next(one for one in read(page(found)).all("section") if one.attributes["id"] == key)


def keys(part: Element) -> list[str]:
    return [one.text for one in part.all("ul")[0].all("li")]


def across(figure: Element) -> list[str]:
    """The styles of the lines of no penalty, which go across in the colour of text."""
    paths = [one.attributes for one in figure.all("path") if "stroke:var(--ink)" in one.attributes.get("style", "")]
    return [one["style"] for one in paths if re.fullmatch(r"M [\d.]+ ([\d.]+) L 357 \1", one["d"].strip())]


def test_another_reference_of_a_method_has_another_line(found: Comparison) -> None:
    group = found.groups[0]
    sweep = group.sweeps[0]
    other = replace(sweep, reference="averaged.safetensors")
    lines = Lines.among(Marks.among(["none", "l2"], "none"), [replace(group, sweeps=(sweep, other))])
    assert [lines.look(one).line for one in (sweep, other)] == ["-", LINES[1]]
    assert [name for _, name in lines.key] == ["l2 toward zero", "l2 toward averaged.safetensors"]


def test_two_sweeps_of_other_groups_are_one_line_of_the_key(found: Comparison) -> None:
    assert len(found.groups) == 2
    assert len(Scene(found).lines.key) == 3


def test_other_settings_beside_the_plan_have_another_line(varied: Comparison) -> None:
    lines = Scene(varied).lines
    looks = [lines.look(sweep) for sweep in varied.groups[1].sweeps if sweep.method == "l2_sp"]
    assert [look.line for look in looks] == ["-", LINES[1]]
    assert len({look.colour for look in looks}) == 1


def test_a_group_that_lacks_the_first_settings_has_the_line_of_its_own(varied: Comparison) -> None:
    second = replace(
        varied.groups[1], sweeps=tuple(one for one in varied.groups[1].sweeps if one.settings[KEY] == 0.01)
    )
    lines = Scene(replace(varied, groups=(varied.groups[0], second))).lines
    assert {lines.look(one).line for one in second.sweeps} == {LINES[1]}


def test_no_penalty_stands_apart_in_every_condition(found: Comparison) -> None:
    part = section(found, "strength")
    assert keys(part) == ["l2 toward zero", "differential_l2 toward zero", "l2_sp toward source"]
    figures = part.all("figure")
    assert len(figures) == 4
    assert all(len(across(one)) == 1 and "stroke-dasharray" in across(one)[0] for one in figures)
    assert {Scene(found).lines.base(group.candidate("none")).line for group in found.groups} == {DOTTED}


def test_no_penalty_is_drawn_for_each_of_the_settings(varied: Comparison) -> None:
    part = section(varied, "strength")
    assert keys(part)[:3] == [
        f"plain fine-tuning, {KEY} 0.1",
        f"plain fine-tuning, {KEY} 0.01",
        f"l2 toward zero, {KEY} 0.1",
    ]
    assert len(keys(part)) == 8
    for group, figure in zip(varied.groups, part.all("figure"), strict=False):
        assert group.name in figure.text
        assert sorted("stroke-dasharray" in one for one in across(figure)) == [False, True]


@pytest.mark.parametrize("key", ["strength", "frontier"])
def test_other_settings_are_drawn_by_another_line(found: Comparison, varied: Comparison, key: str) -> None:
    for one, dashed in ((found, 0), (varied, 3)):  # of l2, differential_l2 and l2_sp
        styles = [path.attributes.get("style", "") for path in section(one, key).all("figure")[0].all("path")]
        lines = [style for style in styles if re.search(r"stroke:var\(--s\d\)", style) and "stroke-dasharray" in style]
        assert len(lines) == dashed


def test_no_penalty_is_not_taken_for_the_method_that_all_are_compared_with(found: Comparison) -> None:
    scene = Scene(replace(found, against="l2"))
    looks = [scene.lines.base(found.groups[0].candidate("none")), scene.marks.of["l2"]]
    assert len({look.colour for look in looks}) == len({look.shape for look in looks}) == 2


def test_a_frontier_names_the_lines_of_a_method_that_has_several(found: Comparison, varied: Comparison) -> None:
    assert keys(section(found, "frontier"))[1:4] == ["plain fine-tuning", "lp-ft", "l2"]
    told = keys(section(varied, "frontier"))
    assert told[1:5] == ["plain fine-tuning", "lp-ft", f"l2 toward zero, {KEY} 0.1", f"l2 toward zero, {KEY} 0.01"]

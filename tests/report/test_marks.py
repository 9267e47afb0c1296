from dataclasses import replace

from report.made import made
from tether.report.figures.marks import LINES, SIGNS, Marks
from tether.report.palette import SERIES, mark


def test_methods_are_told_apart_and_what_they_are_compared_with_is_black() -> None:
    names = [f"m{number}" for number in range(16)]
    marks = Marks.among(["none", *names], "none")
    assert marks.of["none"].colour == mark("ink")
    assert len({(one.colour, one.shape, str(one.line)) for one in marks.of.values()}) == 17
    assert len({marks.of[name].colour for name in names}) == len(SERIES)
    assert {one.shape for one in marks.of.values()} == set(SIGNS)


def test_another_reference_of_a_method_has_another_line() -> None:
    sweep = made(per_class=(5,), seeds=2, items=10).groups[0].sweeps[0]
    other = replace(sweep, reference="averaged.safetensors")
    marks = Marks.among([sweep.method], "none")
    found = marks.sweeps([sweep, other])
    assert [one.line for one in found.values()] == ["-", LINES[1]]
    assert [name for _, name in marks.sweep_key([sweep, other])] == ["l2 toward zero", "l2 toward averaged.safetensors"]


def test_two_sweeps_of_other_groups_are_one_line_of_the_key() -> None:
    sweep = made(per_class=(5,), seeds=2, items=10).groups[0].sweeps[0]
    assert len(Marks.among([sweep.method], "none").sweep_key([sweep, sweep])) == 1

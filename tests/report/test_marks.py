from tether.report.figures.marks import SIGNS, Marks
from tether.report.palette import SERIES, mark


def test_methods_are_told_apart_and_what_they_are_compared_with_is_black() -> None:
    names = [f"m{number}" for number in range(16)]
    marks = Marks.among(["none", *names], "none")
    assert marks.of["none"].colour == mark("ink")
    assert len({(one.colour, one.shape, str(one.line)) for one in marks.of.values()}) == 17
    assert len({marks.of[name].colour for name in names}) == len(SERIES)
    assert {one.shape for one in marks.of.values()} == set(SIGNS)


def test_lines_of_one_mark_are_told_apart() -> None:
    one = Marks.among(["l2"], "none").of["l2"]
    looks = [one.varied(count) for count in range(8)]
    assert looks[0] == one
    assert len({(look.shape, str(look.line)) for look in looks}) == 8
    assert {look.colour for look in looks} == {one.colour}

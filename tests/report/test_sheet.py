import csv
from dataclasses import replace
from io import StringIO

from report.made import made
from tether.report.scene import Scene
from tether.report.sheet import sheet, sheets
from tether.report.story import every_table
from tether.report.table import Cell, Column, Table
from tether.study.comparison import Comparison


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


def test_numbers_come_back_as_they_were(found: Comparison) -> None:
    rows = parsed(sheets(every_table(Scene(found)))["candidates"])
    expected = [(group, one) for group in found.groups for one in group.candidates]
    assert len(rows) == len(expected)
    for row, (group, one) in zip(rows, expected, strict=True):
        mean = one.means["accuracy"]
        assert (row["group"], row["candidate"]) == (group.name, one.name)
        read = tuple(float(row[key]) for key in ("accuracy", "accuracy_low", "accuracy_high"))
        assert read == (mean.estimate, mean.low, mean.high)
        assert row["kept"] == ("" if one.kept is None else repr(one.kept.estimate))


def test_there_is_a_row_a_run(found: Comparison) -> None:
    rows = parsed(sheets(every_table(Scene(found)))["runs"])
    runs = [run for group in found.groups for one in group.candidates for run in one.runs]
    assert [row["folder"] for row in rows] == [str(run.folder) for run in runs]
    assert [row["status"] for row in rows] == [run.status for run in runs]
    assert [float(row["accuracy"]) for row in rows if row["accuracy"]] == [r.test["accuracy"] for r in runs if r.test]


def test_the_trials_of_a_search_are_by_method_where_there_was_one(found: Comparison) -> None:
    group = found.groups[0]
    searched = replace(group, methods=tuple(replace(one, trials=7 * (one.name == "l2")) for one in group.methods))
    rows = parsed(sheets(every_table(Scene(replace(found, groups=(searched, *found.groups[1:])))))["methods"])
    told = [(row["method"], row["trials"]) for row in rows if row["group"] == group.name]
    assert told == [(one.name, "7" if one.name == "l2" else "0") for one in group.methods]
    assert {row["trials"] for row in rows if row["group"] != group.name} == {""}


def test_nothing_is_computed_by_a_spreadsheet() -> None:
    table = Table("t", "", (Column.of("n", "n"), Column.of("x", "x")), ((Cell.name("=1+1"), Cell.number(-2.5)),), "@g")
    assert sheet([table]) == "group,n,x\r\n'@g,'=1+1,-2.5\r\n"


def test_groups_with_other_columns_share_a_file() -> None:
    one = Table("t", "", (Column.of("a", "a"),), ((Cell.count(1),),), "g")
    two = Table("t", "", (Column.of("b", "b"),), ((Cell.count(2),),), "h")
    assert sheet([one, two]).split() == ["group,a,b", "g,1,", "h,,2"]


def test_the_confusion_of_every_class_is_in_the_file() -> None:
    found = made(per_class=(5,), seeds=2, items=100, classes=tuple(f"c{n}" for n in range(40)))
    rows = parsed(sheets(every_table(Scene(found)))["confusion"])
    one = next(one for one in found.groups[0].candidates if one.name == "none")
    told = {(row["truth"], row["guess"]): int(row["answers"]) for row in rows if row["method"] == "none"}
    counts = {(f"c{t}", f"c{g}"): n for t, row in enumerate(one.confusion) for g, n in enumerate(row) if n}
    assert told == counts

from pathlib import Path

import pytest

from tether.data.table import read_table
from tether.errors import DataError


@pytest.fixture
def table(tmp_path: Path, save):
    """Write a table beside four pictures."""
    for number in range(4):
        save(f"photos/{number}.png")

    def table(content: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_text(content, encoding=encoding)
        return tmp_path / name

    return table


ROWS = "photos/0.png,mug\nphotos/1.png,bike\nphotos/2.png,mug\n"


def test_paths_are_relative_to_the_table(table) -> None:
    pictures = read_table(table("path,label\n" + ROWS))
    assert pictures.names == ("photos/0.png", "photos/1.png", "photos/2.png")
    assert pictures.classes == ("bike", "mug")
    assert pictures.labels.tolist() == [1, 0, 1]
    assert pictures.split is None
    assert pictures.read(2).size == (12, 10)


def test_columns_in_any_order_with_a_mark_and_blank_lines(table) -> None:
    content = 'label,note,path\nmug,"a, b",photos/0.png\n\nbike, ,photos/1.png\n'
    pictures = read_table(table(content, encoding="utf-8-sig"))
    assert pictures.names == ("photos/0.png", "photos/1.png")
    assert pictures.classes == ("bike", "mug")


def test_tabs_and_a_split(table) -> None:
    content = "path\tlabel\tsplit\nphotos/0.png\ta\ttrain\nphotos/1.png\tb\tVal\nphotos/2.png\tb\ttest\n"
    assert read_table(table(content, "list.tsv")).split == ("train", "validation", "test")


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(path) in caught.value.what
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        ("", "line 1: there is no column `path`", "write `path,label`"),
        ("path,label\n", "lists no pictures", "path,label"),
        ("paht,label\n" + ROWS, "line 1: there is no column `path`", "did you mean `paht`?"),
        ("path,class\n" + ROWS, "line 1: there is no column `label`", "known: class, path"),
        ("path;label\n" + ROWS, "line 1: there is no column `path`", "save it with commas"),
        ("path,label,label\n", "line 1: the column `label` is there twice", "keep one"),
        ("path,label\n" + ROWS + "photos/3.png\n", "line 5: cells found: 1, in the header: 2", "comma"),
        ("path,label\nphotos/0.png,\n", "line 2: `label` is empty", "fill it in"),
        ("path,label\n,mug\n", "line 2: `path` is empty", "fill it in"),
        ("path,label\n" + ROWS + ROWS, "line 5: `photos/0.png` is listed at line 2 already", "take one"),
        ("path,label,split\nphotos/0.png,a,tran\n", "line 2: `tran` is no split", "did you mean `train`?"),
        ("path,label,split\nphotos/0.png,a,\n", "line 2: `` is no split", "known:"),
        ('path,label\n"photos/0.png,mug\n', "line 2: unexpected end of data", "quote"),
    ],
)
def test_what_is_wrong_is_named_by_line(table, content: str, what: str, fix: str) -> None:
    error = refusal(table(content))
    assert what in error.what
    assert fix in error.fix


def test_another_encoding_is_refused(table) -> None:
    assert "is not UTF-8" in refusal(table("path,label\nphotos/0.png,Käfer\n", encoding="latin-1")).what


MISSING = "path,label\n" + ROWS + "".join(f"photos/{n}.png,mug\n" for n in range(4, 8))


def test_missing_pictures_are_counted_and_the_first_named(table) -> None:
    error = refusal(table(MISSING))
    assert "4 of 7 pictures are not there: `photos/4.png` (line 5), `photos/5.png` (line 6)" in error.what
    assert "--skip-bad" in error.fix


def test_missing_pictures_can_be_left_out(table) -> None:
    pictures = read_table(table(MISSING), skip_bad=True)
    assert len(pictures) == 3
    assert pictures.skipped[0] == ("photos/4.png", "line 5: no such file")
    assert len(pictures.skipped) == 4

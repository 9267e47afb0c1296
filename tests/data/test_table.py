import os
from pathlib import Path

import pytest

from tether.data.table import NO_VALUE, read_table
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


def test_paths_may_be_relative_to_another_folder(table, save, tmp_path: Path) -> None:
    save("elsewhere/photos/0.png", (5, 7))
    found = read_table(table("path,label\n./photos//0.png,a\n"), root=tmp_path / "elsewhere")
    assert found.names == ("photos/0.png",)
    assert found.read(0).size == (5, 7)
    with pytest.raises(DataError, match=r"photos/1\.png` \(line 2\)") as refusal:
        read_table(table("path,label\nphotos/1.png,a\n"), root=tmp_path / "elsewhere")
    assert str(tmp_path / "elsewhere") in refusal.value.why


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("../x.png", "leads out of a folder"),
        ("photos/../photos/0.png", "leads out of a folder"),
        ("..", "leads out of a folder"),
        ("/etc/passwd", "is an absolute path"),
        ("C:/x.png", "is an absolute path"),
        (r"\\server\x.png", "is an absolute path"),
        (".", "is no path of a file"),
        ("x" * 5000, "is no path of a file"),
    ],
)
def test_a_path_that_leads_outside_is_refused_and_not_looked_at(table, path: str, what: str, monkeypatch) -> None:
    monkeypatch.setattr("os.path.lexists", lambda path: pytest.fail(f"looked at {path}"))
    error = refusal(table(f"path,label\n{path},a\n"))
    assert "line 2" in error.what
    assert what in error.what


def test_an_absolute_path_within_the_folder_is_refused_with_the_relative_one(table, tmp_path: Path) -> None:
    assert refusal(table(f"path,label\n{tmp_path}/photos/0.png,a\n")).fix == "write `photos/0.png`"


def test_a_row_of_several_lines_is_named_by_its_first(table) -> None:
    error = refusal(table('path,note,label\nphotos/0.png,"one\ntwo\nthree",a\nphotos/1.png,"four\nfive",\n'))
    assert "line 5: `label` is empty" in error.what


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_any_line_ends_are_read_alike(table, tmp_path: Path, ends: str) -> None:
    table("")
    (tmp_path / "ends.csv").write_bytes(("path,label\n" + ROWS).replace("\n", ends).encode())
    assert read_table(tmp_path / "ends.csv").names == ("photos/0.png", "photos/1.png", "photos/2.png")


def test_a_class_is_called_what_the_cell_holds_and_nothing_is_computed(table) -> None:
    content = "path,label\nphotos/0.png,\"=cmd|' /C calc'!A0\"\nphotos/1.png,=1+1\n"
    assert read_table(table(content)).classes == ("=1+1", "=cmd|' /C calc'!A0")


def test_a_label_that_is_missing_by_another_program_s_word_is_refused(table) -> None:
    for word in sorted(NO_VALUE):
        error = refusal(table(f"path,label\nphotos/0.png,{word}\n"))
        assert f"line 2: the label is `{word}`" in error.what
    assert read_table(table("path,label\nphotos/0.png,none\n")).classes == ("none",)


def test_what_pandas_takes_for_missing_is_taken_so_here() -> None:
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert set(parsers.STR_NA_VALUES) - {""} <= NO_VALUE


def test_labels_that_look_the_same_are_refused_by_line(table) -> None:
    error = refusal(table("path,label\nphotos/0.png,caf\u00e9\nphotos/1.png,cafe\u0301\n"))
    assert "line 2: the classes" in error.what or "line 3: the classes" in error.what
    assert "look the same" in error.what


def test_a_table_that_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(DataError, match="is a named pipe, not a file"):
        read_table(tmp_path / "list.csv")

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tether.data.loading import load, load_unlabelled
from tether.errors import DataError, SettingsError


def test_pictures_of_any_names_at_any_depth(folder) -> None:
    root = folder(a=2, b=3)
    shutil.copy(root / "a/00.png", root / "loose.PNG")
    (root / "b/below").mkdir()
    (root / "b/01.png").rename(root / "b/below/x.png")
    shutil.copy(root / "a/00.png", root / ".hidden.png")
    (root / "notes.txt").write_text("no picture")
    found = load_unlabelled(str(root))
    assert found.names == ("a/00.png", "a/01.png", "b/00.png", "b/02.png", "b/below/x.png", "loose.PNG")
    assert found.labels.tolist() == [0] * 6
    assert found.read(5).size == found.read(0).size


def test_the_digest_is_of_what_lies_there_and_not_of_where(folder, tmp_path_factory) -> None:
    root, elsewhere = folder(a=2, b=3), tmp_path_factory.mktemp("other") / "place"
    shutil.copytree(root, elsewhere)
    assert load_unlabelled(str(root)).digest == load_unlabelled(str(elsewhere)).digest
    Image.new("L", (5, 5), 7).save(elsewhere / "a/01.png")
    assert load_unlabelled(str(root)).digest != load_unlabelled(str(elsewhere)).digest


def test_one_picture_is_enough(folder) -> None:
    assert load_unlabelled(str(folder(a=2, b=2) / "a/01.png")).names == ("01.png",)


def test_a_table_and_what_is_packaged_are_as_they_are_elsewhere(folder) -> None:
    root = folder(a=1, b=3)
    (root / "list.csv").write_text("path,label\na/00.png,b\nb/02.png,b\n")
    assert load_unlabelled(str(root / "list.csv")).names == ("a/00.png", "b/02.png")
    assert load_unlabelled("mnist").digest == load("mnist").digest


def test_a_folder_by_a_tables_name_is_a_folder(folder) -> None:
    root = folder(a=2, b=2)
    assert len(load_unlabelled(str(root.rename(root.with_name("x.csv"))))) == 4


def test_unreadable_pictures_are_refused_or_left_out(folder) -> None:
    root = folder(a=3, b=3)
    (root / "a/01.png").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"1 picture of 6 cannot be read: `a/01.png`"):
        load_unlabelled(str(root))
    assert len(load_unlabelled(str(root), skip_bad=True)) == 5


@pytest.mark.parametrize("name", ["gone", "gone.csv", "mnist/"])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="there is no file or folder") as refusal:
        load_unlabelled(str(tmp_path / name))
    assert refusal.value.fix


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no picture"):
        load_unlabelled(str(tmp_path))


def test_a_packaged_name_that_is_also_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="`digits` is packaged data, and also"):
        load_unlabelled("digits")

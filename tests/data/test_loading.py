import subprocess
import sys
from pathlib import Path

import pytest

from tether.data.loading import load
from tether.errors import DataError, SettingsError


def test_a_packaged_name_that_is_also_a_folder_is_refused(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(load("digits")) == 1797
    root = folder(a=2, b=2)
    root.rename(root.with_name("digits"))
    monkeypatch.chdir(root.parent)
    with pytest.raises(SettingsError, match="`digits` is packaged data, and also a file or folder here") as refusal:
        load("digits")
    assert refusal.value.fix.startswith("`./digits`")
    assert load("./digits").classes == ("a", "b")


def test_a_folder_and_a_table_of_the_same_pictures_are_alike(folder) -> None:
    root = folder(a=2, b=3)
    by_folder = load(str(root))
    rows = [f"{name},{name[0]}" for name in by_folder.names]
    (root / "list.csv").write_text("\n".join(["path,label", *rows]))
    assert load(str(root / "list.csv")).digest == by_folder.digest


def test_unreadable_pictures_are_refused_or_left_out(folder) -> None:
    root = folder(a=3, b=3)
    (root / "a" / "01.png").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"1 picture of 6 cannot be read: `a/01.png`"):
        load(str(root))
    assert load(str(root), skip_bad=True).names == ("a/00.png", "a/02.png", "b/00.png", "b/01.png", "b/02.png")


def test_a_class_with_one_picture_is_refused(folder) -> None:
    with pytest.raises(DataError, match="class `b` has one picture"):
        load(str(folder(a=3, b=1)))


def test_a_path_that_is_not_there_is_refused_with_the_nearest(folder) -> None:
    root = folder(photos__a=2, photos__b=2)
    with pytest.raises(DataError, match=r"no folder or table `.*fotos`") as caught:
        load(str(root / "fotos"))
    assert caught.value.fix == "did you mean `photos`?"
    with pytest.raises(DataError) as caught:
        load(str(root / "gone" / "x"))
    assert caught.value.fix == "give a folder, a table, or one of digits, mnist"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"neither \.csv nor \.tsv"):
        load(str(tmp_path / "data.xlsx"))


def test_it_imports_no_torch() -> None:
    program = "import sys, tether.data.loading, tether.data.split, tether.data.order; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_office_photos(amazon: Path) -> None:
    pictures = load(str(amazon))
    assert len(pictures) == 958
    assert len(pictures.classes) == 10
    assert pictures.skipped == ()
    assert pictures.read(0).size == (300, 300)

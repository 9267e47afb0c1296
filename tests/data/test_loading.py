import errno
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


def test_a_table_s_paths_are_relative_to_the_root_that_is_given(folder, tmp_path: Path) -> None:
    root = folder(photos__a=2, photos__b=2)
    rows = [f"{kind}/{number:02}.png,{kind}" for kind in "ab" for number in range(2)]
    (root / "list.csv").write_text("\n".join(["path,label", *rows]))
    found = load(str(root / "list.csv"), root=str(root / "photos"))
    assert found.names == ("a/00.png", "a/01.png", "b/00.png", "b/01.png")
    assert found.root == str(root / "photos")
    with pytest.raises(DataError, match="there is no folder"):
        load(str(root / "list.csv"), root=str(root / "gone"))


@pytest.mark.parametrize("path", ["digits", "FOLDER"])
def test_a_root_is_for_tables(folder, path: str) -> None:
    with pytest.raises(SettingsError, match="is no table"):
        load(path.replace("FOLDER", str(folder(a=2, b=2))), root=".")


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "caf\udce9", "/" + "x" * 5000, "a\0b"])
def test_a_path_that_no_system_takes_is_refused(path: str) -> None:
    with pytest.raises(DataError) as refusal:
        load(path)
    assert refusal.value.why
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("target", "why"), [("gone", "a link to `gone`, which is not there"), ("x", "leads to itself")]
)
def test_a_link_that_leads_nowhere_is_named_as_one(tmp_path: Path, target: str, why: str) -> None:
    (tmp_path / "x").symlink_to(target)
    with pytest.raises(DataError, match="there is no folder or table") as refusal:
        load(str(tmp_path / "x"))
    assert why in refusal.value.why


def test_a_file_that_may_not_be_read_is_named(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(a=2, b=2)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=f"`{root}` cannot be read") as refusal:
        load(str(root))
    assert refusal.value.why == "permission denied"


def test_a_disk_that_fails_is_no_fault_of_the_data(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(a=2, b=2)

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(OSError, match="Input/output error"):
        load(str(root))

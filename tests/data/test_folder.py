from pathlib import Path

import pytest

from tether.data.folder import read_folder
from tether.errors import DataError


def test_class_folders_are_classes_by_name(folder) -> None:
    pictures = read_folder(folder(mug=2, bike=3, Bike=2))
    assert pictures.classes == ("Bike", "bike", "mug")
    assert pictures.names[:3] == ("Bike/00.png", "Bike/01.png", "bike/00.png")
    assert pictures.counts().tolist() == [2, 3, 2]
    assert pictures.split is None
    assert pictures.notes == ("Classes that differ only in case or width are kept apart: `Bike` and `bike`.",)


def test_pictures_deeper_down_belong_to_their_class_folder(save, tmp_path: Path) -> None:
    save("mug/red/1.png"), save("mug/2.JPG"), save("bike/1.png")
    pictures = read_folder(tmp_path)
    assert pictures.names == ("bike/1.png", "mug/2.JPG", "mug/red/1.png")
    assert pictures.counts().tolist() == [1, 2]
    assert pictures.notes == (
        "Pictures in folders below their class folder count to the class: 1, first `mug/red/1.png`.",
    )


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_parts_are_the_data_s_own_split(folder, validation: str) -> None:
    counts = {"train__a": 2, "train__b": 2, f"{validation}__a": 1, "test__b": 1}
    pictures = read_folder(folder(**counts))
    assert pictures.classes == ("a", "b")
    assert dict(zip(pictures.names, pictures.split or (), strict=True)) == {
        "train/a/00.png": "train",
        "train/a/01.png": "train",
        "train/b/00.png": "train",
        "train/b/01.png": "train",
        f"{validation}/a/00.png": "validation",
        "test/b/00.png": "test",
    }


def test_a_class_may_be_called_train(folder) -> None:
    assert read_folder(folder(bus=2, train=2)).classes == ("bus", "train")


def test_hidden_and_other_files_are_counted(folder, save) -> None:
    root = folder(a=2, b=2)
    for name in ("a/.hidden.png", "a/notes.txt", "README", ".DS_Store"):
        (root / name).write_text("no picture")
    save(".cache/1.png")
    pictures = read_folder(root)
    assert len(pictures) == 4
    assert pictures.classes == ("a", "b")
    assert pictures.notes == (
        "Files left aside, hidden or no pictures: 4 (without a suffix 2, .png 1, .txt 1).",
        "Folders left aside, hidden, a system's, or links from within a class: 1, first `.cache`.",
    )


def test_an_empty_class_folder_is_a_class_without_pictures(folder) -> None:
    root = folder(a=2, b=2)
    (root / "c").mkdir()
    assert read_folder(root).counts().tolist() == [2, 2, 0]


def test_a_link_to_a_class_folder_is_followed(folder, tmp_path: Path) -> None:
    root = folder(store__a=2, data__b=2)
    (root / "data" / "a").symlink_to(root / "store" / "a")
    assert read_folder(root / "data").counts().tolist() == [2, 2]


def refusal(root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_folder(root)
    assert str(root) in caught.value.what
    assert caught.value.fix
    return caught.value


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).why == "it is empty"


def test_a_folder_of_loose_pictures_is_refused(tmp_path: Path, save) -> None:
    save("1.png")
    error = refusal(tmp_path)
    assert "holds no class folders" in error.what
    assert error.why == "it holds files only"


def test_class_folders_of_text_are_refused(tmp_path: Path) -> None:
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.txt").write_text("text")
    error = refusal(tmp_path)
    assert "holds no pictures" in error.what
    assert "no pictures: 2" in error.why


def test_empty_class_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert refusal(tmp_path).why == "its class folders are empty"


def test_a_part_beside_a_class_is_refused(folder) -> None:
    error = refusal(folder(train__a=1, train__b=1, mug=1))
    assert "`train`" in error.what
    assert "`mug`" in error.what


def test_a_test_part_without_train_is_refused(folder) -> None:
    assert "no `train`" in refusal(folder(test__a=1, test__b=1)).what


def test_two_validation_parts_are_refused(folder) -> None:
    error = refusal(folder(train__a=1, val__a=1, valid__a=1))
    assert "`val` and `valid`" in error.what


def test_parts_without_class_folders_are_refused(folder) -> None:
    assert "holds no class folders" in refusal(folder(train=2, test=2)).what


def test_parts_are_parts_however_they_are_written(folder) -> None:
    root = folder(Train__a=2, Train__b=2, TESTING__a=1, TESTING__b=1)
    found = read_folder(root)
    assert found.classes == ("a", "b")
    assert sorted(set(found.split)) == ["test", "train"]


SAME = "the same pictures would be of two classes"


@pytest.mark.parametrize(
    ("name", "target", "what"),
    [
        ("c", "a", "is the same folder as"),
        ("c", ".", "is the same folder as"),
        ("c", "..", "is the same folder as"),
        ("c", "a/deep", "is a link into"),
    ],
)
def test_a_link_by_which_pictures_would_be_of_two_classes_is_refused(
    folder, save, name: str, target: str, what: str
) -> None:
    root = folder(data__a=2, data__b=2) / "data"
    save("data/a/deep/1.png")
    (root / name).symlink_to(target)
    error = refusal(root)
    assert what in error.what
    assert error.why.startswith(SAME)


def test_a_link_of_a_part_to_a_class_of_another_is_refused(folder) -> None:
    root = folder(train__a=2, train__b=2, test__a=2)
    (root / "test" / "b").symlink_to("../train/b")
    assert "is the same folder as" in refusal(root).what


@pytest.mark.parametrize("target", ["gone", "c"])
def test_a_class_that_leads_nowhere_is_refused(folder, target: str) -> None:
    root = folder(a=2, b=2)
    (root / "c").symlink_to(target)
    error = refusal(root)
    assert "is a link that leads nowhere" in error.what
    assert f"`{target}`" in error.why


def test_links_within_a_class_are_told_of_and_not_followed(folder, tmp_path: Path) -> None:
    root = folder(a=2, b=2)
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "other").symlink_to("../b")
    (root / "a" / "copy.png").symlink_to("00.png")
    found = read_folder(root)
    assert found.names == ("a/00.png", "a/01.png", "a/copy.png", "b/00.png", "b/01.png")
    assert found.notes == ("Folders left aside, hidden, a system's, or links from within a class: 2, first `a/other`.",)


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"])
def test_a_system_s_folder_is_no_class(folder, save, name: str) -> None:
    root = folder(a=2, b=2)
    save(f"{name}/1.png"), save(f"a/{name}/1.png")
    found = read_folder(root)
    assert found.classes == ("a", "b")
    assert len(found) == 4
    first = min(name, f"a/{name}")
    assert found.notes == (
        f"Folders left aside, hidden, a system's, or links from within a class: 2, first `{first}`.",
    )


def test_pictures_outside_the_class_folders_are_told_of(folder, save) -> None:
    root = folder(train__a=2, train__b=2)
    save("2.png"), save("train/1.png")
    assert read_folder(root).notes == ("Pictures outside the class folders left aside: 2, first `2.png`.",)


def test_a_folder_by_a_picture_s_name_is_listed_as_one_and_its_own_are_not(folder, save) -> None:
    root = folder(a=1, b=1)
    save("a/x.png/1.png")
    assert read_folder(root).names == ("a/00.png", "a/x.png", "b/00.png")


@pytest.mark.parametrize("name", ["a\nb", "caf\udce9", "\u202e"])
def test_a_class_that_cannot_be_shown_is_refused(folder, name: str) -> None:
    root = folder(a=1, b=1)
    (root / name).mkdir()
    assert "cannot be the name of a class" in refusal(root).what


def test_pictures_come_in_the_order_of_their_folders(save, tmp_path: Path) -> None:
    for name in ("b/1.png", "a/x/2.png", "a/x-y/1.png", "a/x.png", "a/x/1.png"):
        save(name)
    names = ("a/x/1.png", "a/x/2.png", "a/x-y/1.png", "a/x.png", "b/1.png")
    assert read_folder(tmp_path).names == names == tuple(path.as_posix() for path in sorted(map(Path, names)))

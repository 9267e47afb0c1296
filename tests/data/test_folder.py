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
        "Files left aside, hidden or no pictures: 4.",
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

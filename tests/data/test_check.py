from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tether.data.check import attempt, enough, readable
from tether.data.folder import read_folder
from tether.data.pictures import Pictures
from tether.errors import DataError


def labelled(labels: list[int], classes: int = 2, split: tuple[str, ...] | None = None) -> Pictures:
    names = ["bike", "mug", "pen"][:classes]
    return replace(Pictures.of_arrays("p", np.zeros((len(labels), 2, 2), np.uint8), labels, names), split=split)


@pytest.fixture
def damaged(folder) -> Path:
    """Two classes of five pictures, of which seven cannot be read in different ways."""
    root = folder(a=5, b=5)
    for name in ("a/00", "a/01", "a/02"):
        path = root / f"{name}.png"
        path.write_bytes(path.read_bytes()[:-60])
    for name in ("b/00", "b/01", "b/02"):
        (root / f"{name}.png").write_text("not pixels")
    (root / "a" / "03.png").unlink()
    (root / "a" / "03.png").symlink_to(root / "gone.png")
    return root


def test_all_unreadable_pictures_are_counted_and_five_named(damaged: Path) -> None:
    with pytest.raises(DataError) as caught:
        readable(read_folder(damaged))
    what = caught.value.what
    assert what.startswith("7 pictures of 10 cannot be read: `a/00.png` (")
    assert "`a/03.png` (no such file or directory)" in what
    assert "`b/00.png` (not a picture that Pillow knows), and 2 more" in what
    assert "--skip-bad" in caught.value.fix


def test_unreadable_pictures_can_be_left_out(damaged: Path) -> None:
    pictures = readable(read_folder(damaged), skip_bad=True)
    assert pictures.names == ("a/04.png", "b/03.png", "b/04.png")
    assert len(pictures.skipped) == 7
    assert pictures.skipped[3] == ("a/03.png", "no such file or directory")
    with pytest.raises(DataError, match="class `a` has one picture") as caught:
        enough(pictures)
    assert caught.value.why == "7 unreadable pictures are left out"


def test_whole_pictures_come_back_as_they_are(folder) -> None:
    pictures = read_folder(folder(a=2, b=2))
    assert readable(pictures) is pictures


def test_only_refusals_are_gathered_and_bugs_come_through() -> None:
    def job(index: int) -> None:
        if index % 2:
            raise DataError("it is odd", why=f"{index} is odd")

    assert attempt(job, range(5)) == [(1, "1 is odd"), (3, "3 is odd")]
    with pytest.raises(ZeroDivisionError):
        attempt(lambda index: 1 // index, range(2))


@pytest.mark.parametrize(
    ("pictures", "what"),
    [
        (labelled([0, 0], classes=1), "there is one class only, `bike`"),
        (labelled([0, 0, 1]), "class `mug` has one picture, and at least 2 are needed"),
        (labelled([0, 0, 2, 2], classes=3), "class `mug` has no pictures, and at least 2 are needed"),
        (
            labelled([0, 0, 1, 1], split=("train", "test", "test", "validation")),
            "class `mug` has pictures in validation or test and none in train",
        ),
    ],
)
def test_too_few_are_refused_by_class(pictures: Pictures, what: str) -> None:
    with pytest.raises(DataError) as caught:
        enough(pictures)
    assert caught.value.what == what
    assert caught.value.fix


def test_one_training_picture_beside_a_test_picture_is_enough() -> None:
    pictures = labelled([0, 0, 1, 1], split=("train", "test") * 2)
    assert enough(pictures) is pictures

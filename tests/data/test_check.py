from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tether.data.check import attempt, enough, readable
from tether.data.folder import read_folder
from tether.data.pictures import Pictures
from tether.data.pixels import Seen
from tether.errors import DataError
from tether.files import file_digest


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
    assert f"`a/03.png` (it is a link to `{damaged / 'gone.png'}`, which is not there)" in what
    assert "`b/00.png` (it is text (`not pixels`)), and 2 more" in what
    assert "--skip-bad" in caught.value.fix


def test_unreadable_pictures_can_be_left_out(damaged: Path) -> None:
    pictures = readable(read_folder(damaged), skip_bad=True)
    assert pictures.names == ("a/04.png", "b/03.png", "b/04.png")
    assert len(pictures.skipped) == 7
    assert pictures.skipped[3] == ("a/03.png", f"it is a link to `{damaged / 'gone.png'}`, which is not there")
    assert [one.digest for one in pictures.seen or ()] == [file_digest(damaged / name) for name in pictures.names]
    with pytest.raises(DataError, match="class `a` has one picture") as caught:
        enough(pictures)
    assert caught.value.why == "7 unreadable pictures are left out"


def test_whole_pictures_come_back_with_what_was_seen_of_them(folder) -> None:
    root = folder(a=2, b=2)
    pictures = read_folder(root)
    found = readable(pictures)
    assert found.names == pictures.names
    assert found.notes == found.skipped == ()
    assert found.seen == tuple(Seen(file_digest(root / name)) for name in pictures.names)


def test_moving_and_narrow_pictures_are_told_of(folder) -> None:
    root = folder(a=2, b=2)
    frames = [Image.new("L", (6, 6), shade) for shade in (0, 255)]
    frames[0].save(root / "b" / "2.gif", save_all=True, append_images=frames[1:])
    for name, size in (("3", (4, 17)), ("4", (17, 4)), ("5", (4, 16))):
        Image.new("L", size).save(root / "b" / f"{name}.png")
    assert readable(read_folder(root)).notes == (
        "Of several frames or pages the first is taken: 1, first `b/2.gif`.",
        "Only the middle square is taken, under a 4th of the picture: 2, first `b/3.png`.",
    )


def test_what_pillow_warns_of_is_passed_over_and_only_that(folder) -> None:
    def job(index: int) -> None:
        exec(f"import warnings; warnings.warn('{index}')", {"__name__": ["PIL.TiffImagePlugin", "tether.x"][index]})

    assert attempt(job, [0]) == []
    with pytest.raises(UserWarning, match="1"):
        attempt(job, [1])


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

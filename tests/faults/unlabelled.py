"""Unlabelled: places whose pictures the source and the fine-tuned model are to be compared on."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from faults.case import Case
from faults.pictures import CUTS, FORMATS, HTML, classes, encoded, noise

Place = Callable[[Path], Path]


def fitted(place: Place, folder: Path) -> list[object]:
    """The words of a fit that would take a tenth of a second, compared on a place."""
    (folder / "seen").mkdir()
    data, seen = classes(folder / "data"), place(folder / "seen")
    words = ["fit", "--quiet", "--model", "digits-cnn", "--source", "mnist", "--data", data, "--out", folder / "run"]
    return [*words, "--epochs", 1, "--device", "cpu", "--set", f"source.unlabelled={seen}"]


def file_of(name: str, content: bytes, folder: Path) -> Path:
    """A folder of two pictures and a file."""
    for number in range(2):
        noise(number).save(folder / f"{number}.png")
    (folder / name).write_bytes(content)
    return folder


def alone(name: str, content: bytes, folder: Path) -> Path:
    return file_of(name, content, folder) / name


def piped(name: str, folder: Path) -> Path:
    os.mkfifo(folder / name)
    return folder


def linked(target: str, folder: Path) -> Path:
    (folder / "link").symlink_to(target)
    return folder / "link"


NONE, ABSENT = "holds no picture", "there is no file or folder"
PLACES: dict[str, tuple[Place, str]] = {
    "is not there": (lambda folder: folder / "gone", ABSENT),
    "is a table that is not there": (lambda folder: folder / "gone.csv", ABSENT),
    "is below a file": (lambda folder: alone("a.png", b"", folder) / "b", ABSENT),
    "is a link to nothing": (partial(linked, "gone"), ABSENT),
    "is a link to itself": (partial(linked, "link"), ABSENT),
    "is empty": (lambda folder: folder, NONE),
    "is a pipe": (lambda folder: piped("pipe.png", folder) / "pipe.png", NONE),
    "holds a pipe by a picture's name": (partial(piped, "pipe.png"), NONE),
    "is a device": (lambda folder: Path("/dev/zero"), NONE),
    "holds hidden pictures only": (lambda folder: classes(folder / ".seen").parent, NONE),
    "is a text": (partial(alone, "notes.txt", b"no picture"), "1 picture of 1 cannot be read: `notes.txt`"),
    "is an empty picture": (partial(alone, "x.png", b""), "1 picture of 1 cannot be read: `x.png`"),
    "holds a page of HTML": (partial(file_of, "x.jpg", HTML), "1 picture of 3 cannot be read: `x.jpg`"),
    "is an empty table": (partial(alone, "x.csv", b""), "there is no column `path`"),
    "is a table without labels": (partial(alone, "x.csv", b"path\n0.png\n"), "there is no column `label`"),
    "is a table of what is not there": (partial(alone, "x.csv", b"path,label\ny.png,a\n"), "1 of 1 pictures are not"),
    "is a table that leads out": (partial(alone, "x.tsv", b"path\tlabel\n../y.png\ta\n"), "leads out of a folder"),
}
TORN: dict[str, tuple[Place, str]] = {
    f"holds {kind} cut at {cut} %": (
        partial(file_of, f"x.{kind}", encoded(name)[: len(encoded(name)) * cut // 100]),
        f"1 picture of 3 cannot be read: `x.{kind}`",
    )
    for kind, name in FORMATS.items()
    for cut in CUTS[:-1:2]
}
CASES: list[Case] = [
    Case(f"source.unlabelled {name}", partial(fitted, place), (says,))
    for name, (place, says) in (PLACES | TORN).items()
]

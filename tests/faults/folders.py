"""Folders: layouts, names and links that may be taken for another, and the same picture in two places."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from faults.case import Case
from faults.pictures import READ, classes, noise, plan

Layout = Callable[[Path], object]
E_ACUTE, E_AND_ACUTE = "caf\u00e9", "cafe\u0301"


def laid_out(layout: Layout, folder: Path) -> list[object]:
    """The words for a folder that a layout fills."""
    found = layout(folder)
    return plan(found if isinstance(found, Path) else folder)


def parts(folder: Path, **names: str) -> Path:
    """Parts with class folders of three pictures each, no two alike."""
    for number, (part, kinds) in enumerate(names.items()):
        for kind in kinds:
            (folder / part / kind).mkdir(parents=True)
            for count in range(3):
                noise(10_000 * (number + 1) + 10 * ord(kind) + count).save(folder / part / kind / f"{count}.png")
    return folder


def named(names: tuple[str, ...], folder: Path) -> None:
    """Class folders of these names, of three pictures each."""
    for number, name in enumerate(names):
        (folder / name).mkdir()
        for count in range(3):
            noise(10 * number + count).save(folder / name / f"{count}.png")


def file_named(name: str | bytes, folder: Path) -> None:
    noise(1).save(classes(folder) / "a" / "new.png")
    (folder / "a" / "new.png").rename(folder / "a" / os.fsdecode(name))


def copied(source: str, target: str, layout: Layout) -> Layout:
    def copy(folder: Path) -> None:
        layout(folder)
        shutil.copy(folder / source, folder / target)

    return copy


def linked(name: str, target: str, folder: Path) -> None:
    (classes(folder, "abc") / name).symlink_to(target)


def beside(name: str, folder: Path) -> None:
    """A file beside the pictures of a class, and one beside the class folders."""
    for place in (classes(folder), folder / "a"):
        (place / name).write_bytes(b"\0\1\2")


def folder_beside(name: str, folder: Path) -> None:
    (classes(folder) / name).mkdir()
    (folder / name / "._0.png").write_bytes(b"\0\5\x16\7")
    noise(99).save(folder / name / "x.png")


def flat(folder: Path) -> None:
    for number in range(4):
        noise(number).save(folder / f"{number}.png")


def loose(folder: Path) -> None:
    noise(5).save(classes(folder) / "loose.png")


def nested(folder: Path) -> None:
    for kind in ("cat", "dog"):
        classes(folder / "animals" / kind, kind[0], 2)
    classes(folder / "plants" / "rose", "r", 3)


def both_ways(folder: Path) -> None:
    parts(folder, train="ab")
    classes(folder, "c")


def empty_class(folder: Path) -> None:
    (classes(folder) / "c").mkdir()


def no_pictures(folder: Path) -> None:
    for kind in "ab":
        (folder / kind).mkdir()
        (folder / kind / "1.txt").write_text("text")


def elsewhere(folder: Path) -> Path:
    classes(folder / "store", "c")
    (classes(folder / "data") / "c").symlink_to("../store/c")
    return folder / "data"


def deep_loop(folder: Path) -> None:
    (classes(folder) / "a" / "up").symlink_to("..")


def file_instead(folder: Path) -> Path:
    (folder / "pictures").write_text("")
    return folder / "pictures"


def pipe_instead(folder: Path) -> Path:
    os.mkfifo(folder / "pictures")
    return folder / "pictures"


def pipe_beside(folder: Path) -> None:
    os.mkfifo(classes(folder) / "pipe")
    os.mkfifo(folder / "a" / "pipe")


def link_instead(target: str, folder: Path) -> Path:
    (folder / "pictures").symlink_to(target)
    return folder / "pictures"


def one_across(folder: Path) -> None:
    parts(folder, train="ab", test="ab")
    shutil.rmtree(folder / "test" / "b")
    (folder / "test" / "b").symlink_to("../train/b")


REFUSED = [
    Case(name, partial(laid_out, layout), says)
    for name, layout, says in (
        ("an empty folder", lambda folder: None, ("holds no class folders", "it is empty")),
        ("pictures without class folders", flat, ("holds no class folders", "it holds files only")),
        ("class folders of text", no_pictures, ("holds no pictures", "no pictures: 2")),
        ("a folder that is not there", lambda folder: folder / "gone", ("there is no folder or table",)),
        ("a folder below a file", lambda folder: file_instead(folder) / "x", ("there is no folder or table",)),
        (
            "a folder of a user who is none",
            lambda folder: Path("~nobody-of-it/x"),
            ("cannot be used as a path",),
        ),
        ("a folder with a path longer than any", lambda folder: Path("/" + "x" * 5000), ("file name too long",)),
        ("a path that is not UTF-8", lambda folder: Path("caf\udce9"), ("UTF-8",)),
        ("a file instead of a folder", file_instead, ("neither .csv nor .tsv",)),
        ("a pipe instead of a folder", pipe_instead, ("a named pipe, not a file",)),
        ("a device instead of a folder", lambda folder: Path("/dev/zero"), ("a device, not a file",)),
        ("a link to nothing instead of a folder", partial(link_instead, "gone"), ("`gone`, which is not there",)),
        ("a link to itself instead of a folder", partial(link_instead, "pictures"), ("leads to itself",)),
        ("one class", lambda folder: classes(folder, "a"), ("there is one class only, `a`",)),
        ("an empty class", empty_class, ("class `c` has no pictures",)),
        ("a class of one picture", lambda folder: [classes(folder), classes(folder, "c", 1)], ("`c` has one picture",)),
        (
            "a class only in test",
            partial(parts, train="ab", test="abc"),
            ("class `c` has pictures in",),
        ),
        (
            "a class only in validation",
            partial(parts, train="ab", val="abc"),
            ("class `c` has pictures in",),
        ),
        ("a test part and no train", partial(parts, test="ab"), ("holds `test` and no `train`",)),
        (
            "two validation parts",
            partial(parts, train="ab", val="ab", valid="ab"),
            ("twice: `val` and `valid`",),
        ),
        ("a class beside a part", both_ways, ("parts and classes cannot be told apart",)),
        ("names alike but for how é is stored", partial(named, (E_ACUTE, E_AND_ACUTE)), ("look the same",)),
        ("names alike but for a space at the end", partial(named, ("mug", "mug ")), ("look the same",)),
        ("names alike but for the kind of space", partial(named, ("a mug", "a\u00a0mug")), ("look the same",)),
        ("names alike but for a joiner", partial(named, ("mug", "mu\u200dg")), ("look the same",)),
        ("a class with a newline", partial(named, ("a\nb", "c")), (r"`a\nb` cannot be the name of a class", "U+000A")),
        ("a class with a tab", partial(named, ("a\tb", "c")), ("U+0009",)),
        ("a class that clears the screen", partial(named, ("\x1b[2J", "c")), (r"`\x1b[2J` cannot be the name",)),
        ("a class written backwards", partial(named, ("\u202egum", "c")), ("RIGHT-TO-LEFT OVERRIDE",)),
        ("a class with what is not seen", partial(named, ("m\u200bug", "c")), ("ZERO WIDTH SPACE",)),
        ("a class that is not UTF-8", partial(named, ("caf\udce9", "c")), ("it is not UTF-8",)),
        ("a class that leads back to all", partial(linked, "all", "."), ("is the same folder as", "or holds it")),
        ("a class that leads above all", partial(linked, "all", ".."), ("or holds it",)),
        ("two classes that are one folder", partial(linked, "d", "a"), ("is the same folder as",)),
        ("a class that leads nowhere", partial(linked, "d", "gone"), ("is a link that leads nowhere", "`gone`")),
        ("a class that leads to itself", partial(linked, "d", "d"), ("is a link that leads nowhere",)),
        ("a test class that is the training's", one_across, ("is the same folder as",)),
    )
]

HANDLED = [
    Case(name, partial(laid_out, layout), (READ, *says), code=0)
    for name, layout, says in (
        ("loose pictures beside classes", loose, ("outside the class folders left aside: 1, first `loose.png`",)),
        ("class folders in class folders", nested, ("count to the class: 7, first `animals/cat/c/0.png`",)),
        ("names that differ in case", partial(named, ("Bike", "bike")), ("kept apart: `Bike` and `bike`",)),
        ("names that differ in width", partial(named, ("a", "ａ")), ("kept apart",)),
        ("classes in other scripts", partial(named, ("кот", "犬", "كلب", "🐈")), ()),
        ("classes with joiners that belong", partial(named, ("می\u200cخواهم", "b")), ()),
        ("classes with spaces", partial(named, ("a mug", "two  spaces")), ()),
        ("classes of HTML", partial(named, ("<script>alert(1)<", "b & c")), ()),
        ("classes of quotes", partial(named, ("'\"`$(touch EXECUTED)", "; rm -rf ~")), ()),
        ("classes with a dash before", partial(named, ("-rf", "--help")), ()),
        ("classes called as numbers", partial(named, ("1", "01", "nan", "null")), ()),
        ("classes as long as can be", partial(named, ("a" * 255, "b" * 255)), ()),
        ("a class called train", partial(named, ("train", "bus")), ()),
        ("a class with a dot before", partial(folder_beside, ".hidden"), ("Folders left aside", "1, first `.hidden`")),
        ("a folder of an archiver", partial(folder_beside, "__MACOSX"), ("1, first `__MACOSX`",)),
        ("a folder of a disk station", partial(folder_beside, "@eaDir"), ("1, first `@eaDir`",)),
        ("a folder of a file system", partial(folder_beside, "lost+found"), ("1, first `lost+found`",)),
        ("a desktop's file", partial(beside, ".DS_Store"), ("Files left aside, hidden or no pictures: 2 (",)),
        ("a preview's file", partial(beside, "Thumbs.db"), ("Files left aside, hidden or no pictures: 2 (",)),
        ("a hidden picture", partial(beside, "._1.png"), ("Files left aside, hidden or no pictures: 2 (",)),
        ("pipes beside the pictures", pipe_beside, ("Files left aside, hidden or no pictures: 2 (",)),
        ("a link to above within a class", deep_loop, ("links from within a class: 1, first `a/up`",)),
        ("a link to a class elsewhere", elsewhere, ()),
        ("a file with a newline", partial(file_named, "a\nb.png"), ()),
        ("a file with a dash before", partial(file_named, "-rf.png"), ()),
        ("a file that clears the screen", partial(file_named, "\x1b[2J.png"), ()),
        ("a file that is not UTF-8", partial(file_named, b"caf\xe9.png"), ()),
        ("a file with a long name", partial(file_named, "x" * 251 + ".png"), ()),
        ("parts in capitals", partial(parts, Train="ab", TEST="ab"), ("The test part is the data's own.",)),
        ("a class that test lacks", partial(parts, train="abc", test="ab"), ("without test pictures: 1, first `c`",)),
        (
            "one picture in train and test",
            copied("train/a/0.png", "test/a/again.png", partial(parts, train="ab", test="ab")),
            ("The same file in train and test: 1, first `train/a/0.png` and `test/a/again.png`",),
        ),
        (
            "one picture in train and validation",
            copied("train/a/0.png", "val/b/again.png", partial(parts, train="ab", val="ab", test="ab")),
            ("in train and validation: 1", "under two classes: 1, first `train/a/0.png` and `val/b/again.png`"),
        ),
        (
            "one picture twice in train",
            copied("train/a/0.png", "train/a/again.png", partial(parts, train="ab", test="ab")),
            ("The same file twice in train: 1, first `train/a/0.png` and `train/a/again.png`",),
        ),
        ("one picture under two classes", copied("a/0.png", "b/again.png", classes), ("under two classes: 1, first",)),
        (
            "one picture twice, once with a name that clears the screen",
            copied("a/0.png", "b/\x1b[2J.png", classes),
            (r"and `b/\x1b[2J.png`",),
        ),
    )
]

CASES = [*REFUSED, *HANDLED]

"""Folder: pictures in class folders, or in class folders below `train`, `validation` and `test`."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tether.data.names import checked
from tether.data.pictures import Pictures
from tether.errors import DataError
from tether.escaping import terminal

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
PART_OF = {
    "train": "train",
    "training": "train",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
LAYOUT = "make one folder of pictures for each class, or `train`, `val` and `test` that each hold class folders"


@dataclass
class _Aside:
    """Names of what was found and is no picture of a class, or one in a folder of its own."""

    files: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    deeper: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        said = {
            "Pictures outside the class folders left aside": self.loose,
            "Folders left aside, hidden, a system's, or links from within a class": self.folders,
            "Pictures in folders below their class folder count to the class": self.deeper,
        }
        ends = Counter(PurePosixPath(name).suffix.lower() or "without a suffix" for name in self.files).most_common(3)
        listed = ", ".join(f"{terminal(end)} {count}" for end, count in ends)
        files = [f"Files left aside, hidden or no pictures: {len(self.files)} ({listed})."] if self.files else []
        return files + [
            f"{text}: {len(names)}, first `{terminal(min(names))}`." for text, names in said.items() if names
        ]


def read_folder(root: Path) -> Pictures:
    """List the pictures below `root`; the class is the name of their folder.

    Raises:
        DataError: there are no class folders or no pictures, or parts and classes cannot be told apart; or the name of
            a class cannot be shown or looks like another's, or two class folders are one.
    """
    parts = _parts(root)
    kinds = [(part, kind) for part, folder in parts for kind in _folders(folder)]
    _refuse_one_twice(root, [kind for _, kind in kinds])
    classes = {kind.name: kind for _, kind in kinds}
    notes = checked(classes, lambda name: f"`{terminal(classes[name])}`")
    aside = _Aside()
    for folder in {root: None} | {folder: None for _, folder in parts}:
        _sort_out(root, folder, aside)
    found = [(name, kind.name, part) for part, kind in kinds for name in _pictures(root, kind, aside)]
    if not found:
        why = " ".join(aside.notes) or "its class folders are empty"
        raise DataError(
            f"`{terminal(root)}` holds no pictures", why=why, fix=f"pictures end in {', '.join(sorted(SUFFIXES))}"
        )
    return Pictures.of_files(
        root,
        [name for name, _, _ in found],
        [kind for _, kind, _ in found],
        split=[part for _, _, part in found] if parts[0][0] else None,
        classes=classes,
        notes=[*notes, *aside.notes],
    )


def _parts(root: Path) -> list[tuple[str, Path]]:
    """Return each part with its folder, or the root alone under an empty name."""
    below = _folders(root)
    if not below:
        why = "it holds files only" if any(root.iterdir()) else "it is empty"
        raise DataError(f"`{terminal(root)}` holds no class folders", why=why, fix=LAYOUT)
    parts = [folder for folder in below if folder.name.lower() in PART_OF and _folders(folder)]
    if parts:
        return _named(root, parts, [folder.name for folder in below if folder not in parts])
    if all(folder.name.lower() in PART_OF for folder in below):
        raise DataError(
            f"`{terminal(below[0])}` is a part by its name and holds no class folders",
            why="the class of a picture is the name of its folder",
            fix=LAYOUT,
        )
    return [("", root)]


def _named(root: Path, parts: list[Path], others: list[str]) -> list[tuple[str, Path]]:
    if others:
        raise DataError(
            f"`{terminal(root)}` holds `{parts[0].name}`, a part with class folders, beside `{terminal(others[0])}`, "
            "which is not one",
            why="parts and classes cannot be told apart",
            fix=LAYOUT,
        )
    named = [(PART_OF[folder.name.lower()], folder) for folder in parts]
    names = [name for name, _ in named]
    if "train" not in names:
        raise DataError(
            f"`{terminal(root)}` holds `{parts[0].name}` and no `train`", why="there is nothing to train on", fix=LAYOUT
        )
    if len(set(names)) < len(names):
        twice = " and ".join(f"`{folder.name}`" for name, folder in named if names.count(name) > 1)
        raise DataError(
            f"`{terminal(root)}` holds one part twice: {twice}",
            why="both names mean the same part",
            fix="keep one of them",
        )
    return named


def _refuse_one_twice(root: Path, kinds: Iterable[Path]) -> None:
    """Refuse links by which the same pictures would be of two classes, or in two parts."""
    home = Path(os.path.realpath(root))
    of: dict[Path, Path] = {}
    for kind in kinds:
        place = Path(os.path.realpath(kind))
        other = of.get(place) or (root if place == home or place in home.parents else None)
        if other is not None:
            raise _twice(kind, f"is the same folder as `{terminal(other)}`, or holds it")
        of[place] = kind
    for place, kind in of.items():
        outer = next((of[above] for above in place.parents if above in of), None)
        if outer is not None:
            raise _twice(kind, f"is a link into `{terminal(outer)}`")


def _twice(kind: Path, what: str) -> DataError:
    return DataError(
        f"`{terminal(kind)}` {what}",
        why="the same pictures would be of two classes, or be trained on and tested on",
        fix="take the link out",
    )


def _folders(root: Path) -> list[Path]:
    """Return the folders that may be classes or parts, sorted.

    Raises:
        DataError: a link that may be a class leads nowhere.
    """
    found = []
    for path in sorted(root.iterdir()):
        if _is_aside(path.name):
            continue
        if path.is_dir():
            found.append(path)
        elif path.is_symlink() and not path.suffix and not path.exists():
            raise DataError(
                f"`{terminal(path)}` is a link that leads nowhere",
                why=f"it may be a class, and `{terminal(path.readlink())}` cannot be reached",
                fix="correct the link, or take it out",
            )
    return found


def _sort_out(root: Path, folder: Path, aside: _Aside) -> None:
    """Note what lies beside the class folders."""
    for path in folder.iterdir():
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            if _is_aside(path.name):
                aside.folders.append(name)
        else:
            (aside.loose if _is_picture(path.name) else aside.files).append(name)


def _pictures(root: Path, kind: Path, aside: _Aside) -> list[str]:
    """Return every picture of a class at any depth, as a path below the root; note what is left aside."""
    found = []
    top = kind.relative_to(root).as_posix()
    for name, is_folder in _walked(kind):
        if is_folder:
            aside.folders.append(f"{top}/{name}")
        elif _is_picture(name.rpartition("/")[2]):
            found.append(f"{top}/{name}")
            if "/" in name:
                aside.deeper.append(found[-1])
        else:
            aside.files.append(name)
    return sorted(found, key=lambda name: name.split("/"))


def _walked(kind: Path) -> Iterator[tuple[str, bool]]:
    """Every file below a class folder, and every folder that is not entered, with whether it is one."""
    for where, below, names in os.walk(kind, onerror=_raise):
        inside = os.path.relpath(where, kind)
        before = "" if inside == "." else f"{inside}/"
        entered = []
        for name in below:
            if _is_aside(name) or Path(where, name).is_symlink():
                yield before + name, True
            elif _is_picture(name):
                yield before + name, False  # a folder by a picture's name, which is then refused as one
            else:
                entered.append(name)
        below[:] = entered
        yield from ((before + name, False) for name in names)


def _is_aside(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _raise(error: OSError) -> None:
    raise error

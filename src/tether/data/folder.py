"""Folder: pictures in class folders, or in class folders below `train`, `validation` and `test`."""

import os
from collections.abc import Iterator
from pathlib import Path

from tether.data.pictures import Pictures
from tether.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
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


def read_folder(root: Path) -> Pictures:
    """List the pictures below `root`; the class is the name of their folder.

    Raises:
        DataError: there are no class folders or no pictures, or parts and classes cannot be told apart.
    """
    parts = _parts(root)
    files = [row for part, folder in parts for row in _classified(folder, part)]
    pictures = [row for row in files if _is_picture(row[0])]
    outside = {root, *(folder for _, folder in parts)}
    aside = len(files) - len(pictures) + sum(path.is_file() for folder in outside for path in folder.iterdir())
    note = f"Files left aside, hidden or no pictures: {aside}."
    if not pictures:
        why = note if aside else "its class folders are empty"
        raise DataError(f"`{root}` holds no pictures", why=why, fix=f"pictures end in {', '.join(sorted(SUFFIXES))}")
    return Pictures.of_files(
        root,
        [path.relative_to(root).as_posix() for path, _, _ in pictures],
        [kind for _, kind, _ in pictures],
        split=[part for _, _, part in pictures] if parts[0][0] else None,
        classes={folder.name for _, part in parts for folder in _folders(part)},
        notes=[note] if aside else [],
    )


def _parts(root: Path) -> list[tuple[str, Path]]:
    """Return each part with its folder, or the root alone under an empty name."""
    below = _folders(root)
    if not below:
        why = "it holds files only" if any(root.iterdir()) else "it is empty"
        raise DataError(f"`{root}` holds no class folders", why=why, fix=LAYOUT)
    parts = [folder for folder in below if folder.name.lower() in PART_OF and _folders(folder)]
    if parts:
        return _named(root, parts, [folder.name for folder in below if folder not in parts])
    if all(folder.name.lower() in PART_OF for folder in below):
        raise DataError(f"`{below[0]}` is a part by its name and holds no class folders", fix=LAYOUT)
    return [("", root)]


def _named(root: Path, parts: list[Path], others: list[str]) -> list[tuple[str, Path]]:
    if others:
        raise DataError(
            f"`{root}` holds `{parts[0].name}`, a part with class folders, beside `{others[0]}`, which is not one",
            why="parts and classes cannot be told apart",
            fix=LAYOUT,
        )
    named = [(PART_OF[folder.name.lower()], folder) for folder in parts]
    names = [name for name, _ in named]
    if "train" not in names:
        raise DataError(f"`{root}` holds `{parts[0].name}` and no `train`", fix=LAYOUT)
    if len(set(names)) < len(names):
        twice = " and ".join(f"`{folder.name}`" for name, folder in named if names.count(name) > 1)
        raise DataError(f"`{root}` holds one part twice: {twice}", fix="keep one of them")
    return named


def _classified(folder: Path, part: str) -> Iterator[tuple[Path, str, str]]:
    for kind in _folders(folder):
        for path in _files(kind):
            yield path, kind.name, part


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """Return every file at any depth, sorted, hidden folders left out."""
    found: list[Path] = []
    for where, below, names in os.walk(folder, onerror=_raise):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(where, name) for name in names]
    return sorted(found)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _raise(error: OSError) -> None:
    raise error

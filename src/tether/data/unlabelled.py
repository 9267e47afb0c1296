"""Unlabelled: pictures of any names, below a folder of any shape."""

from pathlib import Path

from tether.data.folder import SUFFIXES
from tether.data.pictures import Pictures
from tether.errors import DataError
from tether.escaping import terminal


def read_unlabelled(place: Path) -> Pictures:
    """List a picture, or all pictures below a folder, as pictures of one class without a name.

    Raises:
        DataError: the place is absent, cannot be read or holds no picture.
    """
    root = place if place.is_dir() else place.parent
    names = [path.relative_to(root).as_posix() for path in pictures_below(place)]
    return Pictures.of_files(root, names, [""] * len(names), classes=[""])


def pictures_below(place: Path) -> list[Path]:
    """A picture by itself, or all pictures at any depth of a folder in order of name, but for hidden ones.

    Raises:
        DataError: the place is absent, cannot be read or holds no picture.
    """
    if place.is_file():
        return [place]
    if not place.exists():
        raise DataError(
            f"there is no file or folder `{terminal(place)}`",
            why="a picture or a folder of pictures is looked for there",
            fix="check the path, which is relative to the folder you are in",
        )
    try:
        found = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and _is_shown(path, place))
    except (RecursionError, OSError) as error:
        raise DataError(
            f"`{terminal(place)}` cannot be read to its end",
            why=f"{type(error).__name__}: {terminal(str(error))}",
            fix="give the pictures themselves, or a folder that is nested less deeply",
        ) from None
    if not found:
        raise DataError(
            f"`{terminal(place)}` holds no picture",
            why="pictures are known by how their names end, and hidden ones are left out",
            fix=f"files ending in {', '.join(sorted(SUFFIXES))}",
        )
    return found


def _is_shown(path: Path, below: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(below).parts)

"""Loading: a path, or the name of packaged data, becomes pictures that are known to be readable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from tether.data.check import enough, readable
from tether.data.digits import read_digits, read_mnist
from tether.data.folder import LAYOUT, read_folder
from tether.data.pictures import Pictures
from tether.data.pixels import why_absent
from tether.data.table import DELIMITERS, read_table
from tether.data.unlabelled import read_unlabelled
from tether.errors import DataError, SettingsError
from tether.escaping import terminal
from tether.files import DISK_FAILURES
from tether.registry import refuse_ambiguous
from tether.regular import require_regular

PACKAGED = {"digits": read_digits, "mnist": read_mnist}


def load(path: str, *, root: str | None = None, skip_bad: bool = False, to_train: bool = True) -> Pictures:
    """Take labelled pictures from a folder, a table (CSV or TSV) or, by the bare name `digits`, from scikit-learn.

    Args:
        root: the folder that a table's paths are relative to; the table's own when not given.
        skip_bad: leave unreadable pictures out and report them, instead of refusing.
        to_train: refuse what is too little to train on: one class, one picture of a class, a class without training.

    Raises:
        DataError: nothing usable is there; the message names the file, the line or the class.
        SettingsError: `root` is given for what is no table.

    >>> load("digits").classes
    ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    if path in PACKAGED:
        refuse_ambiguous(path, "packaged data")
        _refuse_root(path, root)
        return PACKAGED[path]()
    place = _place(path)
    with _telling(path, place):
        found = readable(_listed(place, root, skip_bad=skip_bad), skip_bad=skip_bad)
    return enough(found) if to_train else found


def load_unlabelled(path: str, *, skip_bad: bool = False) -> Pictures:
    """Take pictures whose labels do not matter: below a folder of any shape, of a table, or packaged.

    Raises:
        DataError: nothing usable is there; the message names the file or the line.
    """
    place = Path() if path in PACKAGED else _place(path)
    if path in PACKAGED or (place.suffix.lower() in DELIMITERS and place.is_file()):
        return load(path, skip_bad=skip_bad, to_train=False)
    with _telling(path, place):
        return readable(read_unlabelled(place), skip_bad=skip_bad)


@contextmanager
def _telling(path: str, place: Path) -> Iterator[None]:
    """Say of which path it is that the system cannot read it."""
    try:
        yield
    except RecursionError:
        raise DataError(
            f"the folders in `{terminal(path)}` are nested too deeply to be read",
            why="pictures lie in class folders, or a few folders below them",
            fix="move the pictures up, or list them in a table",
        ) from None
    except OSError as error:
        if error.errno in DISK_FAILURES:
            raise
        where = terminal(error.filename or place)
        raise DataError(
            f"`{where}` cannot be read",
            why=(error.strerror or str(error)).lower(),
            fix="change its permissions or its place",
        ) from None


def _listed(place: Path, root: str | None, *, skip_bad: bool) -> Pictures:
    _require(place)
    if place.is_dir():
        _refuse_root(str(place), root)
        return read_folder(place)
    require_regular(place, DataError)
    if place.suffix.lower() not in DELIMITERS:
        raise DataError(
            f"`{terminal(place)}` is a file, and neither .csv nor .tsv",
            why="its name says how the cells of a table are apart",
            fix=LAYOUT + "; or list them in a table",
        )
    found = read_table(place, root=None if root is None else _folder(root), skip_bad=skip_bad)
    return replace(found, root=root)


def _place(path: str) -> Path:
    try:
        path.encode()
        return Path(path).expanduser()
    except UnicodeEncodeError:
        why, fix = "spec.toml is UTF-8, and could not name it", "rename it, or reach it through a link"
    except RuntimeError as error:
        why, fix = str(error).lower(), "write the whole path"
    raise DataError(f"`{terminal(path)}` cannot be used as a path", why=why, fix=fix)


def _require(place: Path) -> None:
    try:
        os.stat(place)  # noqa: PTH116 - a path may hold what `Path` refuses
    except (OSError, ValueError) as error:
        raise DataError(
            f"there is no folder or table `{terminal(place)}`", why=why_absent(place, error), fix=_near(place)
        ) from None


def _folder(root: str) -> Path:
    place = _place(root)
    if not place.is_dir():
        raise DataError(
            f"data.root: there is no folder `{terminal(root)}`",
            why="the paths of the table are relative to it",
            fix="name the folder that they are relative to, or leave data.root out for the table's own",
        )
    return place


def _refuse_root(path: str, root: str | None) -> None:
    if root is not None:
        raise SettingsError(
            f"data.root is given, and `{terminal(path)}` is no table",
            why="it names the folder that a table's paths are relative to",
            fix="leave data.root out",
        )


def _near(place: Path) -> str:
    beside = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
    near = get_close_matches(place.name, [*PACKAGED, *beside], n=1)
    return (
        f"did you mean `{terminal(near[0])}`?" if near else f"give a folder, a table, or one of {', '.join(PACKAGED)}"
    )

"""Loading: a path, or the name of packaged data, becomes pictures that are known to be readable."""

from difflib import get_close_matches
from pathlib import Path

from tether.data.check import enough, readable
from tether.data.digits import read_digits, read_mnist
from tether.data.folder import LAYOUT, read_folder
from tether.data.pictures import Pictures
from tether.data.table import DELIMITERS, read_table
from tether.errors import DataError
from tether.registry import refuse_ambiguous

PACKAGED = {"digits": read_digits, "mnist": read_mnist}


def load(path: str, *, skip_bad: bool = False, to_train: bool = True) -> Pictures:
    """Take labelled pictures from a folder, a table (CSV or TSV) or, by the bare name `digits`, from scikit-learn.

    Args:
        skip_bad: leave unreadable pictures out and report them, instead of refusing.
        to_train: refuse what is too little to train on: one class, one picture of a class, a class without training.

    Raises:
        DataError: nothing usable is there; the message names the file, the line or the class.

    >>> load("digits").classes
    ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    if path in PACKAGED:
        refuse_ambiguous(path, "packaged data")
        return PACKAGED[path]()
    place = Path(path).expanduser()
    try:
        found = readable(_listed(place, skip_bad=skip_bad), skip_bad=skip_bad)
        return enough(found) if to_train else found
    except PermissionError as error:
        raise DataError(f"`{error.filename}` may not be read", fix="change its permissions") from None


def _listed(place: Path, *, skip_bad: bool) -> Pictures:
    if place.is_dir():
        return read_folder(place)
    if not place.exists():
        raise DataError(f"there is no folder or table `{place}`", fix=_near(place))
    if place.suffix.lower() not in DELIMITERS:
        raise DataError(f"`{place}` is a file, and neither .csv nor .tsv", fix=LAYOUT + "; or list them in a table")
    return read_table(place, skip_bad=skip_bad)


def _near(place: Path) -> str:
    beside = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
    near = get_close_matches(place.name, [*PACKAGED, *beside], n=1)
    return f"did you mean `{near[0]}`?" if near else f"give a folder, a table, or one of {', '.join(PACKAGED)}"

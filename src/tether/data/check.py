"""Check: every picture can be read, and every class has enough of them."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tether.data.pictures import Pictures
from tether.data.pixels import NARROW, Seen
from tether.errors import DataError
from tether.escaping import terminal
from tether.record import cores

Bad = list[tuple[int, str]]
NAMED = 5


def attempt(job: Callable[[int], object], indices: Iterable[int]) -> Bad:
    """Run a job on each index in threads (decoding lets go of the interpreter); return what failed, and why.

    What Pillow warns of, damaged metadata beside whole pixels, is passed over.
    """

    def why(index: int) -> str | None:
        try:
            job(index)
        except DataError as error:
            return error.why or error.what
        return None

    indices = list(indices)
    with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        return [(index, found) for index, found in zip(indices, pool.map(why, indices), strict=True) if found]


def unreadable(pictures: Pictures, bad: Bad) -> DataError:
    """Say how many pictures cannot be read, and name the first of them."""
    first = ", ".join(f"`{terminal(pictures.names[index])}` ({why})" for index, why in bad[:NAMED])
    more = f", and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    count = "1 picture" if len(bad) == 1 else f"{len(bad)} pictures"
    return DataError(
        f"{count} of {len(pictures)} cannot be read: {first}{more}",
        why="each one is decoded before training, so that none is missed half way",
        fix="replace or remove them, or leave them out with --skip-bad",
    )


def readable(pictures: Pictures, *, skip_bad: bool = False) -> Pictures:
    """Read every picture once, and leave out what cannot be read where `skip_bad` is set.

    Raises:
        DataError: some cannot be read and `skip_bad` is not set.
    """
    seen: dict[int, Seen] = {}

    def look(index: int) -> None:
        seen[index] = pictures.look(index)

    bad = attempt(look, range(len(pictures)))
    if bad and not skip_bad:
        raise unreadable(pictures, bad)
    kept = pictures.without(bad) if bad else pictures
    found = tuple(seen[index] for index in sorted(seen))
    return replace(kept, seen=found, notes=(*kept.notes, *_notes(kept.names, found)))


def _notes(names: Sequence[str], seen: Sequence[Seen]) -> list[str]:
    said = {
        "Of several frames or pages the first is taken": [one.moving for one in seen],
        f"Only the middle square is taken, under a {NARROW}th of the picture": [one.narrow for one in seen],
    }
    marked = {text: [name for name, mark in zip(names, marks, strict=True) if mark] for text, marks in said.items()}
    return [f"{text}: {len(found)}, first `{terminal(found[0])}`." for text, found in marked.items() if found]


def enough(pictures: Pictures) -> Pictures:
    """Return the pictures if there are two classes or more, each with two pictures or more, some to train on.

    Raises:
        DataError: one of these fails; the message names the class.
    """
    if len(pictures.classes) < 2:
        raise DataError(
            f"there is one class only, `{terminal(pictures.classes[0])}`",
            why="a classifier tells two or more classes apart",
            fix="give the pictures of a second class",
        )
    for name, count in zip(pictures.classes, pictures.counts(), strict=True):
        if count < 2:
            left = f"{len(pictures.skipped)} unreadable pictures are left out" if pictures.skipped else ""
            raise DataError(
                f"class `{terminal(name)}` has {'one picture' if count else 'no pictures'}, and at least 2 are needed",
                why=left or "one is trained on and one is tested on",
                fix=f"add pictures of `{terminal(name)}`, or take the class out",
            )
    if pictures.split is not None:
        _trained(pictures)
    return pictures


def _trained(pictures: Pictures) -> None:
    for name, count in zip(pictures.classes, pictures.counts("train"), strict=True):
        if not count:
            raise DataError(
                f"class `{terminal(name)}` has pictures in validation or test and none in train",
                why="what is not trained on cannot be recognised",
                fix=f"add pictures of `{terminal(name)}` to train, or take the class out",
            )

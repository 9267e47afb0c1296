"""Check: every picture can be read, and every class has enough of them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tether.data.pictures import Pictures
from tether.errors import DataError
from tether.record import cores

Bad = list[tuple[int, str]]
NAMED = 5


def attempt(job: Callable[[int], object], indices: Iterable[int]) -> Bad:
    """Run a job on each index in threads (decoding lets go of the interpreter); return what failed, and why."""

    def why(index: int) -> str | None:
        try:
            job(index)
        except DataError as error:
            return error.why or error.what
        return None

    indices = list(indices)
    with ThreadPoolExecutor(cores()) as pool:
        return [(index, found) for index, found in zip(indices, pool.map(why, indices), strict=True) if found]


def unreadable(pictures: Pictures, bad: Bad) -> DataError:
    """Say how many pictures cannot be read, and name the first of them."""
    first = ", ".join(f"`{pictures.names[index]}` ({why})" for index, why in bad[:NAMED])
    more = f", and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    count = "1 picture" if len(bad) == 1 else f"{len(bad)} pictures"
    return DataError(
        f"{count} of {len(pictures)} cannot be read: {first}{more}",
        why="each one is decoded before training, so that none is missed half way",
        fix="replace or remove them, or leave them out with --skip-bad",
    )


def readable(pictures: Pictures, *, skip_bad: bool = False) -> Pictures:
    """Decode every picture (a JPEG at an eighth of its size), and leave out what cannot be where `skip_bad` is set.

    Raises:
        DataError: some cannot be read and `skip_bad` is not set.
    """
    bad = attempt(lambda index: pictures.read(index, 1), range(len(pictures)))
    if bad and not skip_bad:
        raise unreadable(pictures, bad)
    return pictures.without(bad) if bad else pictures


def enough(pictures: Pictures) -> Pictures:
    """Return the pictures if there are two classes or more, each with two pictures or more, some to train on.

    Raises:
        DataError: one of these fails; the message names the class.
    """
    if len(pictures.classes) < 2:
        raise DataError(f"there is one class only, `{pictures.classes[0]}`", fix="give the pictures of a second class")
    for name, count in zip(pictures.classes, pictures.counts(), strict=True):
        if count < 2:
            left = f"{len(pictures.skipped)} unreadable pictures are left out" if pictures.skipped else ""
            raise DataError(
                f"class `{name}` has {'one picture' if count else 'no pictures'}, and at least 2 are needed",
                why=left or "one is trained on and one is tested on",
                fix=f"add pictures of `{name}`, or take the class out",
            )
    if pictures.split is not None:
        _trained(pictures)
    return pictures


def _trained(pictures: Pictures) -> None:
    for name, count in zip(pictures.classes, pictures.counts("train"), strict=True):
        if not count:
            raise DataError(
                f"class `{name}` has pictures in validation or test and none in train",
                fix=f"add pictures of `{name}` to train, or take the class out",
            )

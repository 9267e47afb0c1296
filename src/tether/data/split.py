"""Split: which pictures are trained on, chosen on, and tested on once."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import floor

import numpy as np
from jaxtyping import Int64

from tether.data.duplicates import duplicates
from tether.data.pictures import Pictures
from tether.errors import DataError, SettingsError
from tether.escaping import printable, terminal
from tether.spec import DataSpec

VALIDATION = 0.2
ENOUGH_TO_VALIDATE = 10
DIGITS = 16


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of the training, validation and test pictures, ascending, and sentences about how they were chosen."""

    train: Int64[np.ndarray, " train"]
    validation: Int64[np.ndarray, " validation"]
    test: Int64[np.ndarray, " test"]
    notes: tuple[str, ...]
    names: tuple[str, ...] = field(repr=False)
    contents: tuple[str, ...] = field(repr=False)

    def to_json(self) -> dict[str, list[str]]:
        """List the names of each part, the start of each test picture's digest, and the notes, for the run folder."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        named = {part: [self.names[i] for i in indices] for part, indices in parts.items()}
        return {**named, "test_contents": [*self.contents], "notes": [*self.notes]}

    def __str__(self) -> str:
        counts = f"{len(self.train):,} train · {len(self.validation):,} validation · {len(self.test):,} test"
        return "\n".join([counts, *map(printable, self.notes)])


def split(pictures: Pictures, spec: DataSpec, seed: int) -> Split:
    """Split class by class; parts that the data has of its own are kept as they are.

    The pictures of a class queue in the order of the SHA-256 of the seed and their names. Test takes the first ones,
    training the last, and validation the very last of these. So every machine splits alike, the training pictures of a
    smaller `per_class` or `fraction` are among those of a larger one, and a picture added or left out moves no other.
    With `test_seed` the test part is drawn first, in the order of that seed, and `per_class` leaves out what it does
    not take instead of testing on it.

    Raises:
        DataError: a class has too few pictures; the message names it.
        SettingsError: a share leaves nothing to train on.

    >>> from tether.data.loading import load
    >>> print(split(load("digits"), DataSpec(path="digits", per_class=2), seed=0))
    20 train · 0 validation · 1,777 test
    No validation part: class `0` has 2 training pictures, fewer than 10, so epochs are fixed and the last one is taken.
    """
    if spec.root != pictures.root:
        raise SettingsError(
            f"data.root is {spec.root!r}, and the pictures were read from {pictures.root!r}",
            why="the paths of a table would be of other files than the spec says",
            fix="pass `root=spec.data.root` to `load`",
        )
    for name, share in (("test", spec.test), ("validation", spec.validation)):
        if share == 1:
            raise SettingsError(
                f"data.{name} = 1 leaves nothing to train on",
                why="it is a share of the pictures",
                fix="give a share below 1",
            )
    pool, test, test_notes = _tested(pictures, spec, seed)
    training, drawn_notes = _drawn(pictures, spec, pool)
    train, validation, notes = _validated(pictures, spec, training)
    parts = {"train": _gathered(train), "validation": validation, "test": test}
    notes = [
        *pictures.told,
        *test_notes,
        *drawn_notes,
        *notes,
        *_untested(pictures, test),
        *(duplicates(pictures, parts) if pictures.seen else []),
    ]
    contents = tuple(pictures.content(int(i))[:DIGITS] for i in test)
    return Split(**parts, notes=tuple(notes), names=pictures.names, contents=contents)


Queues = list[Int64[np.ndarray, " n"]]
Cut = tuple[Queues, Int64[np.ndarray, " m"], list[str]]


def _tested(pictures: Pictures, spec: DataSpec, seed: int) -> Cut:
    """Return the pictures to train on by class, in the order of the seed, the test pictures, and notes."""
    own, trainable = pictures.own("test"), pictures.own("train")
    queues = _queues(pictures, trainable, seed)
    if len(own):
        return queues, own, ["The test part is the data's own."]
    if spec.per_class is not None and spec.test_seed is None:
        _need(pictures, queues, spec.per_class + 1, f"per_class = {spec.per_class}")
        cuts = [len(queue) - spec.per_class for queue in queues]
    else:
        queues = queues if spec.test_seed is None else _queues(pictures, trainable, spec.test_seed)
        _need(pictures, queues, 2 if spec.test else 1, f"test = {spec.test}")
        cuts = [_share(len(queue), spec.test) for queue in queues]
    test = _gathered(queue[:cut] for queue, cut in zip(queues, cuts, strict=True))
    pool = [queue[cut:] for queue, cut in zip(queues, cuts, strict=True)]
    if spec.test_seed is not None:
        pool = _queues(pictures, _gathered(pool), seed)
    return pool, test, [] if len(test) else ["No test part: data.test is 0."]


def _drawn(pictures: Pictures, spec: DataSpec, pool: Queues) -> tuple[Queues, list[str]]:
    """Return those of the pictures to train on that are used, by class, and a note of the others."""
    if spec.per_class is not None:
        setting, counts = f"per_class = {spec.per_class}", [spec.per_class] * len(pool)
        held_out = spec.test_seed is not None and not len(pictures.own("test"))
        _need(pictures, pool, spec.per_class, setting, lower=" or data.test" if held_out else "")
    elif spec.fraction is not None:
        setting = f"fraction = {spec.fraction}"
        counts = [max(1, floor(len(queue) * spec.fraction + 0.5)) for queue in pool]
    else:
        return pool, []
    left = sum(len(queue) for queue in pool) - sum(counts)
    notes = [f"Training pictures left out by {setting}: {left:,}."] if left else []
    return [queue[-count:] for queue, count in zip(pool, counts, strict=True)], notes


def _untested(pictures: Pictures, test: Int64[np.ndarray, " test"]) -> list[str]:
    absent = np.flatnonzero(np.bincount(pictures.labels[test], minlength=len(pictures.classes)) == 0)
    if not len(test) or not len(absent):
        return []
    return [f"Classes without test pictures: {len(absent)}, first `{terminal(pictures.classes[absent[0]])}`."]


def _validated(pictures: Pictures, spec: DataSpec, training: Queues) -> Cut:
    """Return the pictures that stay for training by class, the validation pictures, and notes."""
    own = pictures.own("validation")
    if len(own):
        unused = "" if spec.validation is None else f", and data.validation = {spec.validation} is not used"
        return training, own, [f"The validation part is the data's own{unused}."]
    share, why = _validation_share(pictures, spec, training)
    if not share:
        return training, own, [f"No validation part: {why}, so epochs are fixed and the last one is taken."]
    _need(pictures, training, 2, f"validation = {share}")
    cuts = [len(queue) - _share(len(queue), share) for queue in training]
    train = [queue[:cut] for queue, cut in zip(training, cuts, strict=True)]
    return train, _gathered(queue[cut:] for queue, cut in zip(training, cuts, strict=True)), []


def _validation_share(pictures: Pictures, spec: DataSpec, training: Queues) -> tuple[float, str]:
    if spec.validation is not None:
        return spec.validation, "data.validation is 0"
    least = min(range(len(training)), key=lambda label: len(training[label]))
    if len(training[least]) >= ENOUGH_TO_VALIDATE:
        return VALIDATION, ""
    count = len(training[least])
    few = f"{count} training picture{'s' * (count > 1)}"
    return 0.0, f"class `{terminal(pictures.classes[least])}` has {few}, fewer than {ENOUGH_TO_VALIDATE}"


def _need(pictures: Pictures, queues: Queues, least: int, setting: str, *, lower: str = "") -> None:
    short = [label for label, queue in enumerate(queues) if len(queue) < least]
    if short:
        name, count = terminal(pictures.classes[short[0]]), len(queues[short[0]])
        more = f", and so have {len(short) - 1} more" if len(short) > 1 else ""
        raise DataError(
            f"class `{name}` has too few pictures to train on ({count}){more}",
            why=f"data.{setting} needs at least {least} in every class",
            fix=f"lower data.{setting.partition(' ')[0]}{lower}, or add pictures of this class",
        )


def _share(count: int, share: float) -> int:
    """Round a share of a class, and leave one or more on both sides."""
    return min(max(floor(count * share + 0.5), 1), count - 1) if share else 0


def _queues(pictures: Pictures, pool: Int64[np.ndarray, " n"], seed: int) -> Queues:
    def place(index: int) -> bytes:
        return hashlib.sha256(f"{seed}/{pictures.names[index]}".encode(errors="surrogateescape")).digest()

    queue = np.array(sorted(pool.tolist(), key=place), dtype=np.int64)
    return [queue[pictures.labels[queue] == label] for label in range(len(pictures.classes))]


def _gathered(queues: Iterable[Int64[np.ndarray, " n"]]) -> Int64[np.ndarray, " m"]:
    return np.sort(np.concatenate([*queues]))

"""Pictures: names, labels and classes, and a way to read each one."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from tether.data.pixels import Seen, looked_at, opened
from tether.escaping import printable, terminal

PARTS = ("train", "validation", "test")
CLASSES_SHOWN = 20


class Reader(Protocol):
    """Decodes one picture."""

    def __call__(self, index: int, least: int = 0, /) -> Image.Image:
        """Return picture `index`, upright, `L` or `RGB`; a large one may come smaller, no side below `least`."""
        ...


class Look(Protocol):
    """Reads one picture whole, and keeps none of its pixels."""

    def __call__(self, index: int, /) -> Seen:
        """Say what is known of picture `index`, which can be read."""
        ...


@dataclass(frozen=True, eq=False)
class Pictures:
    """Labelled pictures that are read one at a time.

    Args:
        names: path relative to the root of the data, or such as `digits/12`; no two are equal.
        labels: index into `classes`.
        split: the part each picture belongs to where the data has a split of its own.
        read: decodes one picture.
        look: reads one picture, to check it and for its digest.
        seen: what `look` said of each, once all were checked.
        root: the folder that names are relative to, where another than the table's own was given.
        skipped: names left out because they cannot be read, each with its reason.
        notes: sentences about what was found.

    >>> pictures = Pictures.of_arrays("dot", np.zeros((4, 2, 2), np.uint8), [0, 0, 1, 1], ["off", "on"])
    >>> print(pictures)
    4 pictures of 2 classes
      off      2
      on       2
    >>> pictures.read(3).size
    (2, 2)
    """

    names: tuple[str, ...]
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]
    split: tuple[str, ...] | None
    read: Reader
    look: Look
    seen: tuple[Seen, ...] | None = None
    root: str | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_files(
        cls,
        root: Path,
        names: Iterable[str],
        kinds: Iterable[str],
        *,
        classes: Iterable[str],
        split: Iterable[str] | None = None,
        skipped: Iterable[tuple[str, str]] = (),
        notes: Iterable[str] = (),
    ) -> Self:
        """Take files below `root`, the class of each in `kinds`; the classes are sorted by name."""
        names, classes = tuple(names), sorted(classes)
        label_of = {kind: label for label, kind in enumerate(classes)}
        paths = tuple(root / name for name in names)
        return cls(
            names=names,
            labels=np.array([label_of[kind] for kind in kinds], dtype=np.int64),
            classes=tuple(classes),
            split=None if split is None else tuple(split),
            read=partial(_read_file, paths),
            look=partial(_look_file, paths),
            skipped=tuple(skipped),
            notes=tuple(notes),
        )

    @classmethod
    def of_arrays(
        cls, name: str, values: UInt8[np.ndarray, "n height width"], labels: Iterable[int], classes: Iterable[str]
    ) -> Self:
        """Take gray pictures from one array; they are named `NAME/0`, `NAME/1` and so on."""
        return cls(
            names=tuple(f"{name}/{index}" for index in range(len(values))),
            labels=np.array(list(labels), dtype=np.int64),
            classes=tuple(classes),
            split=None,
            read=partial(_read_array, values),
            look=partial(_look_array, values),
        )

    def without(self, bad: Collection[tuple[int, str]]) -> Self:
        """Leave out the pictures at the given indices, each with its reason, and report them as skipped."""
        kept = np.setdiff1d(np.arange(len(self)), [index for index, _ in bad])
        return replace(
            self,
            names=tuple(self.names[i] for i in kept),
            labels=self.labels[kept],
            split=None if self.split is None else tuple(self.split[i] for i in kept),
            read=partial(_read_kept, self.read, kept),
            look=partial(_look_kept, self.look, kept),
            seen=None if self.seen is None else tuple(self.seen[i] for i in kept),
            skipped=(*self.skipped, *((self.names[index], why) for index, why in bad)),
        )

    def counts(self, part: str | None = None) -> Int64[np.ndarray, " classes"]:
        """Count the pictures of each class, in one part of the data's own split or in all."""
        labels = self.labels if part is None else self.labels[self.own(part)]
        return np.bincount(labels, minlength=len(self.classes)).astype(np.int64)

    def own(self, part: str) -> Int64[np.ndarray, " m"]:
        """Return the indices of one part of the data's own split; without a split, all are for training."""
        split = self.split or ("train",) * len(self)
        return np.flatnonzero([name == part for name in split])

    def content(self, index: int) -> str:
        """SHA-256 of the content of one picture's file, or of its values where it is no file."""
        return (self.seen[index] if self.seen is not None else self.look(index)).digest

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every picture's name, class and content."""
        return self.digest_of(range(len(self)))

    def digest_of(self, indices: Iterable[int]) -> str:
        """SHA-256 over the name, class and content of some pictures."""
        rows = [(self.names[i], self.classes[self.labels[i]], self.content(i)) for i in indices]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def told(self) -> tuple[str, ...]:
        """Sentences for the user: what was left out, and what was found."""
        if not self.skipped:
            return self.notes
        name, why = self.skipped[0]
        return (
            f"{len(self.skipped)} left out because they cannot be read, first `{terminal(name)}` ({why}).",
            *self.notes,
        )

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        lines = [f"{len(self):,} pictures of {len(self.classes)} classes", *_rows(self)]
        return "\n".join([*lines, *map(printable, self.told)])


def _rows(pictures: Pictures) -> list[str]:
    present = Counter(pictures.split or ())
    parts = [part for part in PARTS if part in present]
    columns = [pictures.counts(part) for part in parts] or [pictures.counts()]
    shown = [terminal(name) for name in pictures.classes[:CLASSES_SHOWN]]
    width = max(map(len, shown), default=0)
    rows = [f"  {'':{width}}" + "".join(f"  {part:>10}" for part in parts)] if parts else []
    for label, name in enumerate(shown):
        rows.append(f"  {name:{width}}" + "".join(f"  {column[label]:>{10 if parts else 5}}" for column in columns))
    rest = len(pictures.classes) - len(shown)
    return [*rows, f"  … and {rest} classes more"] if rest else rows


def _read_file(paths: Sequence[Path], index: int, least: int = 0) -> Image.Image:
    return opened(paths[index], least)


def _look_file(paths: Sequence[Path], index: int) -> Seen:
    return looked_at(paths[index])


def _read_array(values: UInt8[np.ndarray, "n height width"], index: int, _least: int = 0) -> Image.Image:
    return Image.fromarray(values[index])


def _look_array(values: UInt8[np.ndarray, "n height width"], index: int) -> Seen:
    return Seen(hashlib.sha256(values[index].tobytes()).hexdigest())


def _read_kept(read: Reader, kept: Int64[np.ndarray, " m"], index: int, least: int = 0) -> Image.Image:
    return read(int(kept[index]), least)


def _look_kept(look: Look, kept: Int64[np.ndarray, " m"], index: int) -> Seen:
    return look(int(kept[index]))

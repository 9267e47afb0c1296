"""Measure a finished run again: on its own test pictures, or on others with its classes."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from tether.data.loading import load as load_pictures
from tether.data.pictures import Pictures
from tether.engine.evaluate import score
from tether.engine.trained import Trained
from tether.errors import DataError, Notice
from tether.escaping import terminal
from tether.scores import Scores
from tether.tasks.image import still_batches


def measure(run: Path | str, data: str | None = None, *, skip_bad: bool = False, trust_code: bool = False) -> Scores:
    """Scores of a run's model on its own test pictures, or on those of `data`, its test part where it has one.

    Raises:
        CheckpointError: the run holds no usable model.
        DataError: pictures are absent or changed, or of classes that the model does not know.
        SettingsError: its network has a dotted name, and `trust_code` is not set.
    """
    trained = Trained.load(run, trust_code=trust_code)
    skip_bad = skip_bad or trained.spec.data.skip_bad
    if data is not None:
        pictures, chosen = to_evaluate(data, trained.classes, skip_bad=skip_bad)
    else:
        place = trained.spec.data
        pictures = load_pictures(place.path, root=place.root, skip_bad=skip_bad)
        chosen = _test_part(Path(run), pictures)
    tell_skipped(pictures)
    return score(trained.model, still_batches(pictures, chosen, trained.spec))


def tell_skipped(pictures: Pictures) -> None:
    """Warn of pictures that are left out, since what is measured on the others says nothing of them."""
    if pictures.skipped:
        name, why = pictures.skipped[0]
        told = f"left out because they cannot be read: {len(pictures.skipped)}, first `{terminal(name)}` ({why})"
        warnings.warn(Notice(told), stacklevel=3)


def to_evaluate(
    place: str, classes: tuple[str, ...], *, skip_bad: bool = False
) -> tuple[Pictures, Int64[np.ndarray, " n"]]:
    """Pictures labelled as a model's head counts its classes, and which to use: the data's own test part, or all.

    Raises:
        DataError: pictures are absent or unreadable, or a class is not one of the model's.
    """
    pictures = labelled_as(load_pictures(place, skip_bad=skip_bad, to_train=False), classes, place)
    tested = pictures.own("test")
    return pictures, tested if len(tested) else np.arange(len(pictures))


def labelled_as(pictures: Pictures, classes: tuple[str, ...], place: str) -> Pictures:
    """The pictures with labels as a model's head counts its classes.

    Raises:
        DataError: a class is not one of the model's.
    """
    if strange := [name for name in pictures.classes if name not in classes]:
        raise DataError(
            f"`{place}` has the class `{terminal(strange[0])}`, which the model does not know",
            why=f"its classes are {', '.join(map(terminal, classes[:10]))}{', …' if len(classes) > 10 else ''}",
            fix="rename the class folders, or correct the file of class names",
        )
    numbers = np.array([classes.index(name) for name in pictures.classes])
    return replace(pictures, labels=numbers[pictures.labels], classes=classes)


def _test_part(run: Path, pictures: Pictures) -> Int64[np.ndarray, " n"]:
    try:
        parts = json.loads((run / "split.json").read_text(encoding="utf-8"))
        names, digest, contents = parts["test"], parts["test_digest"], parts.get("test_contents")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"`{run / 'split.json'}` cannot be read: {error}",
            why="it says which pictures the run left for its test",
            fix="--data with labelled pictures",
        ) from None
    if not names:
        raise DataError(
            f"`{run}` has no test pictures",
            why="its data were split with data.test = 0",
            fix="--data with labelled pictures",
        )
    index = {name: number for number, name in enumerate(pictures.names)}
    if missing := [name for name in names if name not in index]:
        raise DataError(
            f"{len(missing)} of {len(names)} test pictures are not there any more, `{terminal(missing[0])}` first",
            why="accuracy on the others would be another figure under the same name",
            fix="restore the data, or --data with other labelled pictures",
        )
    chosen = np.array([index[name] for name in names], dtype=np.int64)
    if contents is None:
        raise DataError(
            f"`{run / 'split.json'}` does not say what the test pictures held",
            why="an earlier version kept their names and sizes only, so whether they are the same is not known",
            fix=f"tether fit {run / 'spec.toml'} --out …, or --data with labelled pictures",
        )
    if digest != pictures.digest_of(chosen):
        raise _changed(pictures, names, contents, chosen)
    return chosen


def _changed(pictures: Pictures, names: list[str], contents: list[str], chosen: Int64[np.ndarray, " n"]) -> DataError:
    found = [
        name
        for name, start, i in zip(names, contents, chosen, strict=False)
        if pictures.content(i)[: len(start)] != start
    ]
    which = f"another file now: {len(found)} of {len(names)}, first `{found[0]}`" if found else "of another class now"
    return DataError(
        f"the test pictures are not those of the run: {which}",
        why="the SHA-256 of their names, classes and contents is another",
        fix="restore the data, or --data with other labelled pictures",
    )

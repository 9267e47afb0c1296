"""Predict: the class of pictures that nobody has labelled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tether.data.check import readable
from tether.data.folder import SUFFIXES
from tether.data.images import Images, normalise
from tether.data.pictures import Pictures
from tether.engine.measure import tell_skipped
from tether.engine.trained import Trained
from tether.errors import DataError
from tether.tasks.image import EVALUATION_BATCH


@dataclass(frozen=True)
class Prediction:
    """The most probable class of one picture."""

    path: str
    label: str
    probability: float


def predict(
    run: Path | str, places: Sequence[Path | str], *, skip_bad: bool = False, trust_code: bool = False
) -> Iterator[Prediction]:
    """Classify files, and all pictures below folders, with the model of a run; in order of name.

    Args:
        trust_code: make a network that the run names by its dotted name, which runs code.

    Raises:
        CheckpointError: the run holds no usable model.
        DataError: a place is absent or holds no picture, or a picture cannot be read and `skip_bad` is not set.
        SettingsError: its network has a dotted name, and `trust_code` is not set.
    """
    trained = Trained.load(run, trust_code=trust_code)
    paths = [path for place in places for path in _pictures(Path(place))]
    names = [str(path) for path in dict.fromkeys(paths)]
    found = Pictures.of_files(Path(), names, [""] * len(names), classes=[""])
    pictures = readable(found, skip_bad=skip_bad)
    tell_skipped(pictures)
    return _classified(trained, pictures)


@torch.no_grad()
def _classified(trained: Trained, pictures: Pictures) -> Iterator[Prediction]:
    prepared = trained.spec.preprocessing
    for start in range(0, len(pictures), EVALUATION_BATCH):
        chunk = torch.arange(start, min(start + EVALUATION_BATCH, len(pictures))).numpy()
        batch = normalise(Images(pictures, chunk, prepared).batch(chunk), prepared.mean or (), prepared.std or ())
        best = trained.model(batch).softmax(1).max(1)
        for index, probability, label in zip(chunk, best.values, best.indices, strict=True):
            yield Prediction(pictures.names[index], trained.classes[int(label)], float(probability))


def _pictures(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.exists():
        raise DataError(
            f"there is no file or folder `{place}`",
            why="each argument after the run is a picture or a folder of pictures",
            fix="check the path, which is relative to the folder you are in",
        )
    try:
        found = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and _is_shown(path, place))
    except (RecursionError, OSError) as error:
        raise DataError(
            f"`{place}` cannot be read to its end",
            why=f"{type(error).__name__}: {error}",
            fix="give the pictures themselves, or a folder that is nested less deeply",
        ) from None
    if not found:
        raise DataError(
            f"`{place}` holds no picture",
            why="pictures are known by how their names end, and hidden ones are left out",
            fix=f"files ending in {', '.join(sorted(SUFFIXES))}",
        )
    return found


def _is_shown(path: Path, below: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(below).parts)

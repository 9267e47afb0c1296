"""Predict: the class of pictures that nobody has labelled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tether.data.check import readable
from tether.data.images import Images, normalise
from tether.data.pictures import Pictures
from tether.data.unlabelled import pictures_below
from tether.engine.measure import tell_skipped
from tether.engine.trained import Trained
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
    paths = [path for place in places for path in pictures_below(Path(place))]
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

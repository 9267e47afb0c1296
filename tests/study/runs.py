"""Run folders that nobody trained, by the package's own writers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tether import RunSpec
from tether.answers import Answers
from tether.engine.keep import _json as write_json
from tether.engine.trained import save_model
from tether.files import write_durably, write_manifest
from tether.record import RunRecord, metrics_line
from tether.scores import Scores
from tether.study.configuration import Configuration
from tether.study.place import Place
from tether.study.study import Study

CLASSES = ("a", "b", "c")
Flags = Sequence[bool] | np.ndarray


def base(changes: Mapping[str, Any] | None = None) -> RunSpec:
    """A spec that nothing is trained by."""
    settings = {"model.name": "digits-cnn", "data.path": "pictures", "source.path": "mnist", "threads": 1}
    return RunSpec.from_flags({**settings, **(changes or {})})


@dataclass(frozen=True)
class Fake:
    """What a run leaves.

    Args:
        logits: (items, classes), of which the answers are made.
        held: rows of `plan.json`: name, shape, fate, reference and strength.
        moved: rows of `drift.json`; none where it has no source.
    """

    logits: np.ndarray
    truth: np.ndarray
    validation: tuple[float, float] | None = (0.5, 1.0)
    retention: float | None = None
    agreement: Mapping[str, Any] | None = None
    unlabelled: Mapping[str, Any] | None = None
    rows: Sequence[Mapping[str, float]] = ()
    held: Sequence[tuple[str, tuple[int, ...], str, str, float | None]] = ()
    moved: Sequence[Mapping[str, Any]] | None = None
    train: Sequence[str] = ("t1", "t2")
    data: str = "data"
    tested: str = "pictures"
    seconds: float = 2.0
    environment: Mapping[str, Any] = field(default_factory=lambda: {"device": "cpu"})

    @property
    def answers(self) -> Answers:
        return Answers.of(self.logits, self.truth)

    def of(self, **changes: Any) -> "Fake":
        """The same with changes."""
        return replace(self, **changes)

    def write(self, folder: Path, spec: RunSpec) -> None:
        """Leave it."""
        folder.mkdir(parents=True)
        answers, scored = self.answers, {}
        if self.validation is not None:
            accuracy, nll = self.validation
            scored = Scores.of(answers).to_json() | {"accuracy": accuracy, "nll": nll}
        outcome = {
            "status": "done",
            "test": Scores.of(answers).to_json(),
            "validation": scored or None,
            "retention": None if self.retention is None else {"count": 3, "source": 0.9, "kept": self.retention},
            "agreement": {"target": self.agreement, "unlabelled": self.unlabelled} if self.agreement else None,
            "seconds": self.seconds,
        }
        RunRecord(spec, self.environment, (), outcome).write(folder)
        write_durably(folder / "metrics.jsonl", "".join(f"{metrics_line(row)}\n" for row in self.rows))
        answers.save(folder / "answers.safetensors")
        names = ("name", "shape", "fate", "reference", "strength")
        rows = [dict(zip(names, row, strict=True)) for row in self.held]
        write_json(folder / "plan.json", {"plan": "", "parameters": rows})
        split = {"train": [*self.train], "validation": ["v"], "test": [str(n) for n in range(len(self.truth))]}
        write_json(folder / "split.json", split | {"digest": self.data, "test_digest": self.tested})
        if self.moved is not None:
            write_json(folder / "drift.json", {"layers": [*self.moved], "outputs": None})
        save_model(folder, {"w": torch.ones(1)}, spec, CLASSES, "")
        write_manifest(folder)


def noisy(seed: int, skill: float, *, items: int = 60, classes: int = 3) -> Fake:
    """Answers on the same test items for every seed, of which about a share `skill` is right."""
    truth = np.random.default_rng(99).integers(0, classes, items)
    rng = np.random.default_rng([seed, round(1000 * skill)])
    logits = rng.normal(0, 1, (items, classes))
    right = rng.random(items) < skill
    logits[np.arange(items), np.where(right, truth, (truth + 1) % classes)] += 5
    return Fake(logits, truth)


def flagged(right: Flags) -> Fake:
    """Answers that are right where it is said, sure of themselves."""
    right = np.asarray(right)
    truth = np.random.default_rng(7).integers(0, 3, len(right))
    return Fake(3.0 * np.eye(3)[np.where(right, truth, (truth + 1) % 3)], truth)


def left(study: Study, folder: Path, made: Mapping[str, Mapping[int, Fake]]) -> Place:
    """The folder of a study with runs of the configurations that are named, by seed."""
    place = Place(folder)
    study.write(place, {})
    for name, by_seed in made.items():
        one = of(study, name)
        for seed, fake in by_seed.items():
            fake.write(place.run(one.folder(seed)), one.at(seed))
    return place


def of(study: Study, name: str) -> Configuration:
    """The configuration of that name."""
    return next(one for one in study.grid.configurations if one.name == name)

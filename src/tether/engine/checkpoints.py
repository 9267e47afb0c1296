"""Checkpoints: the saved states of a run, of which one that is whole is always there."""

import json
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from tether.engine.packing import Tree, pack, unpack
from tether.engine.trained import WEIGHTS, owned
from tether.errors import CheckpointError, MachineError, Notice
from tether.files import MANIFEST, staged, verify_manifest, write_durably, write_manifest

CHECKPOINTS, STATE, TRAINING = "checkpoints", "state.json", "training.safetensors"


@dataclass(frozen=True, eq=False)
class Saved:
    """A state of training as a checkpoint holds it."""

    folder: Path
    step: int
    weights: Mapping[str, Tensor]
    state: Tree


class Checkpoints:
    """The folder `checkpoints` of a run: a folder a step, each whole with its manifest or not counted.

    Args:
        run: the run folder.
        keep: how many are kept, the newest by their manifests; the one that was resumed from is kept beside them.
    """

    def __init__(self, run: Path, keep: int = 2) -> None:
        self.run, self.folder, self.keep = run, run / CHECKPOINTS, keep
        self.resumed: Path | None = None

    def save(self, step: int, weights: Mapping[str, Tensor], state: Tree, metadata: Mapping[str, str]) -> Path:
        """Write a state of training beside the others, and then remove the oldest.

        It is written aside, each file synced, the manifest last, and renamed: a crash at any point leaves the others.

        Raises:
            MachineError: the disk is full, read-only or broken; the checkpoints before it are as they were.
        """
        if not self.run.is_dir():
            why = "it was removed or moved while it was written"
            raise MachineError(f"`{self.run}` is gone", why=why, fix="put it back")
        folder = self._free(step)
        tree, tensors = pack(state)
        with staged(folder) as aside:
            write_durably(aside / WEIGHTS, save(owned(weights), metadata=dict(metadata)))
            write_durably(aside / TRAINING, save(owned(tensors)))
            write_durably(aside / STATE, json.dumps(tree, allow_nan=False) + "\n")
            write_manifest(aside, step=step, serial=1 + max(map(_serial, self._all()), default=0))
        self._rotate(folder)
        return folder

    def newest(self) -> Saved:
        """Read the newest checkpoint that is whole; those that are not are told and left alone.

        Raises:
            CheckpointError: there is none.
        """
        for folder in sorted(self._ordered(), key=lambda path: _serial(path) > 0):  # first those that tell no order
            try:
                saved = _read(folder)
            except CheckpointError as error:
                warnings.warn(Notice(f"{error.what}, so the checkpoint before it is used"), stacklevel=2)
                continue
            self.resumed = folder
            return saved
        raise CheckpointError(
            f"`{self.run}` holds no checkpoint that is whole, so it cannot go on",
            why=f"`{self.folder}` has none with a `{MANIFEST}` that holds",
            fix=f"start it anew: tether fit {self.run / 'spec.toml'} --out …",
        )

    def clear(self) -> None:
        """Remove what a crash left half written; only the process that holds the run may."""
        for path in self.folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def _ordered(self) -> list[Path]:
        """The folders in the order in which they were written, by their manifests, the newest first."""
        return sorted(self._all(), key=lambda path: (_serial(path), path.name), reverse=True)

    def _all(self) -> list[Path]:
        return [path for path in self.folder.glob("*") if path.is_dir() and not path.name.startswith(".")]

    def _free(self, step: int) -> Path:
        """A new name: a damaged checkpoint of the same step stays where it is."""
        names = (f"{step:06d}" if again == 0 else f"{step:06d}-{again}" for again in range(len(self._all()) + 1))
        return next(self.folder / name for name in names if not (self.folder / name).exists())

    def _rotate(self, written: Path) -> None:
        older = [path for path in self._ordered() if path != written and _serial(path)]
        for path in older[self.keep - 1 :]:
            if path != self.resumed:
                aside = path.with_name(f".{path.name}.tmp")
                with suppress(OSError):  # what was written stands
                    path.rename(aside)  # it goes in one step, and never counts as damaged
                shutil.rmtree(aside, ignore_errors=True)


def _read(folder: Path) -> Saved:
    step = verify_manifest(folder).get("step")
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
        state = unpack(found, load((folder / TRAINING).read_bytes()))
        if not isinstance(state, dict):
            raise TypeError(f"its state is a {type(state).__name__}")
        return Saved(folder, int(step), load((folder / WEIGHTS).read_bytes()), state)  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"`{folder}` cannot be read: {error!r}",
            why="its manifest holds, and its content is no state of a run of this version",
            fix="resume with the version of Tether that wrote it",
        ) from None


def _serial(folder: Path) -> int:
    """Which in order its manifest says that it is, unverified; 0 where it says nothing."""
    try:
        return int(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["serial"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0

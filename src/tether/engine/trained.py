"""Trained: a model as a run folder keeps it, with its classes and preprocessing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.checkpoint.description import KEY
from tether.checkpoint.resolve import load
from tether.errors import CheckpointError
from tether.files import MANIFEST, verify_manifest, write_durably
from tether.models.build import build as build_model
from tether.models.trust import require_trusted
from tether.spec import RunSpec

WEIGHTS, REFERENCE, SPEC = "model.safetensors", "reference.safetensors", "spec.toml"


@dataclass(frozen=True, eq=False)
class Trained:
    """A model ready to predict.

    Args:
        spec: the spec of its run, with every choice made.

    """

    model: nn.Module
    classes: tuple[str, ...]
    spec: RunSpec
    digest: str

    @classmethod
    def load(cls, run: Path | str, *, trust_code: bool = False) -> "Trained":
        """Read the model of a run folder.

        Args:
            trust_code: make a network that the folder names by its dotted name, which runs code.

        Raises:
            CheckpointError: the folder is no finished run, or one of its files is not as its manifest says.
            SettingsError: its network has a dotted name, and `trust_code` is not set.

        """
        folder = Path(run)
        if not folder.is_dir():
            raise CheckpointError(
                f"there is no run folder `{folder}`",
                why="a run is a folder of weights, spec and manifest",
                fix="give the --out of a finished fit",
            )
        found = load(folder)
        if found.classes is None or found.preprocessing is None or found.digest is None:
            raise CheckpointError(
                f"`{folder / WEIGHTS}` does not say its classes and preprocessing",
                why="a run of Tether writes them into the file's metadata, and these weights are another's",
                fix="give the folder of a finished `tether fit`",
            )
        _require_as_written(folder)
        spec = RunSpec.from_toml(folder / SPEC)
        require_trusted(spec.model, f"`{folder / SPEC}`", trust_code=trust_code)
        model = build_model(spec.model, len(found.classes), found.preprocessing.channels)
        try:
            model.load_state_dict(dict(found.tensors))
        except RuntimeError as error:
            raise CheckpointError(
                f"`{folder / WEIGHTS}` does not fit `{spec.model.name}`",
                why=str(error).splitlines()[-1].strip(),
                fix="restore `spec.toml` and the weights as the run wrote them, or run it again",
            ) from None
        return cls(model.eval(), found.classes, spec, found.digest)


def _require_as_written(folder: Path) -> None:
    """Hold a run's files against its manifest where it has one, since whoever changes the spec changes the network."""
    if not (folder / MANIFEST).exists():
        return
    if SPEC not in verify_manifest(folder)["files"]:
        raise CheckpointError(
            f"`{folder / MANIFEST}` does not name `{SPEC}`",
            why="every file that a run is read by is named there, with its SHA-256",
            fix="copy the run folder again from where it was made",
        )


def metadata(spec: RunSpec, classes: tuple[str, ...], plan: str) -> dict[str, str]:
    """What a safetensors file says of its weights, so that they can be used without their run folder."""
    about = {
        "classes": list(classes),
        "preprocessing": spec.preprocessing.model_dump(exclude_none=True),
        "model": spec.model.model_dump(),
        "spec": spec.digest,
        "plan": plan,
    }
    return {KEY: json.dumps(about)}


def save_model(folder: Path, state: dict[str, Tensor], spec: RunSpec, classes: tuple[str, ...], plan: str) -> None:
    """Write the weights, with what is needed to use them, into one safetensors file.

    Raises:
        MachineError: the disk is full, read-only or broken.

    """
    write_durably(folder / WEIGHTS, save(owned(state), metadata=metadata(spec, classes, plan)))


def save_reference(folder: Path, anchor: Anchor) -> None:
    """Write what the transferred parameters were held to, so that the run does not depend on the source's file.

    Raises:
        MachineError: the disk is full, read-only or broken.

    """
    anchor.save(folder / REFERENCE)


def owned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in memory of their own, which a safetensors file can hold."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}

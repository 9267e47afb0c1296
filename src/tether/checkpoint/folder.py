"""A folder given as a source: a run of Tether, or what else it is and which file of it to give."""

from pathlib import Path

from tether.checkpoint.within import require_within
from tether.errors import CheckpointError, UnsafeCheckpoint
from tether.files import MANIFEST
from tether.regular import require_regular

WEIGHTS, SPEC, CHECKPOINTS = "model.safetensors", "spec.toml", "checkpoints"
INDEX = "model.safetensors.index.json"
SUFFIXES = {".safetensors", ".pt", ".pth", ".bin", ".th", ".ckpt"}
PARTS = ".metadata"  # of torch.distributed.checkpoint, and a pickle
CONFIG = "config.json"


def require_run(folder: Path) -> None:
    """Check that a folder has a run's files, and that they are its own; no other file of it is opened.

    Raises:
        CheckpointError: it is no run; the message says what it is, and which file to give.

    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise CheckpointError(
            f"`{folder}` cannot be read", why=error.strerror or str(error), fix="give a folder that you may read"
        ) from None
    for name in (WEIGHTS, SPEC):
        if name in names:
            require_within(folder / name, folder)
            require_regular(folder / name, CheckpointError)
    lacking = [name for name in (WEIGHTS, SPEC) if not (folder / name).is_file()]
    if PARTS in names and lacking:
        raise _parts(folder)
    if lacking == [WEIGHTS] and CHECKPOINTS in names and MANIFEST not in names:
        raise CheckpointError(
            f"the run in `{folder}` has not ended",
            why=f"it has no `{WEIGHTS}` yet",
            fix=f"tether fit --resume {folder}, or give a `{WEIGHTS}` below its `{CHECKPOINTS}`",
        )
    if lacking:
        raise _no_run(folder, names, lacking)


def _parts(folder: Path) -> UnsafeCheckpoint:
    return UnsafeCheckpoint(
        f"`{folder}` is a folder of torch.distributed.checkpoint",
        why=f"its `{PARTS}` is a pickle, and reading it would run whatever code it names",
        fix="if you trust it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch"
        f" {folder} weights.pt (which calls `dcp_to_torch_save`), and give weights.pt",
    )


def _no_run(folder: Path, names: list[str], lacking: list[str]) -> CheckpointError:
    files = [name for name in names if name == INDEX] or [name for name in names if Path(name).suffix in SUFFIXES]
    why = "a run holds both; of another folder no file is opened until it is given"
    if CONFIG in names:
        why = f"it is a model of the Hugging Face Hub: its `{CONFIG}` is not read, and code that it names is not run"
    return CheckpointError(
        f"`{folder}` is a folder without {' and '.join(f'`{name}`' for name in lacking)}, so not a run of Tether",
        why=why,
        fix=f"give the file itself: `{folder / files[0]}`" if files else "give a checkpoint file or a run folder",
    )

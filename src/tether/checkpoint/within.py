"""Where a link may lead: a folder's files lie in it, or in the store of a download cache that it belongs to."""

from pathlib import Path

from tether.errors import CheckpointError


def require_within(file: Path, folder: Path) -> None:
    """Refuse a link out of the folder that it was named by.

    A snapshot in the cache of the Hugging Face Hub is links into `blobs` beside `snapshots`, and is taken.

    Raises:
        CheckpointError: the file is somewhere else.

    """
    try:
        home, real = folder.resolve(strict=True), file.resolve(strict=True)
    except (OSError, RuntimeError):  # a loop of links; what is absent is refused where it is opened
        return
    store = home.parent.parent / "blobs"
    if real.is_relative_to(home) or (home.parent.name == "snapshots" and real.is_relative_to(store)):
        return
    raise CheckpointError(
        f"`{file}` is a link to `{real}`",
        why=f"only files of `{folder}` are read with it",
        fix="copy the file there, or give it itself if it is the one that is meant",
    )

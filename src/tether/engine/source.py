"""The source model of a run, rebuilt whole with its own head."""

from pathlib import Path

import torch
from torch import nn

from tether.checkpoint.checkpoint import Checkpoint
from tether.errors import MatchError, SettingsError
from tether.escaping import terminal
from tether.matching.transfer import transfer
from tether.models.build import build, classifier_name
from tether.regular import require_regular
from tether.spec import RunSpec

MOST_BYTES = 16 * 2**20


def source_classes(spec: RunSpec, source: Checkpoint) -> tuple[str, ...]:
    """The classes of the source's head, in its order.

    Raises:
        SettingsError: they are not known.

    """
    assert spec.source is not None
    classes = read_classes(spec.source.classes) or source.classes
    if classes is None:
        raise SettingsError(
            f"the classes of `{source.origin}` are not known, so its own task cannot be measured",
            why="each output of its head is one class, and the file does not name them",
            fix="--source-classes FILE, with one class name a line in the order of its head",
        )
    return classes


def source_model(spec: RunSpec, source: Checkpoint, classes: int | None = None) -> nn.Module:
    """Build the run's network with the source's head, and put all of the source into it; torch's seed is left alone.

    Args:
        classes: how many the head has; as many as the source's classifier has rows when not given.

    Raises:
        MatchError: the source lacks a part of the network.

    """
    assert spec.source is not None
    with torch.random.fork_rng(devices=[]):
        model = build(spec.model, classes or _head_rows(spec, source), spec.preprocessing.channels)
    moved = transfer(source, into=model, by=spec.source.by, rename=spec.source.rename, coverage=0.0)
    if moved.match.new:
        raise MatchError(
            f"`{source.origin}` lacks {', '.join(moved.match.new[:4])}, so its own task cannot be measured",
            why="a part that is not the source's would answer with random weights",
            fix="leave out `source.data`, and what else needs the source's own head",
        )
    return model


def read_classes(path: str | None) -> tuple[str, ...] | None:
    """Class names, one a line.

    Raises:
        SettingsError: the file is absent, empty, or names a class twice.

    """
    if path is None:
        return None
    require_regular(path, SettingsError, most=MOST_BYTES)
    try:
        names = tuple(line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"`source.classes = {path!r}` cannot be read: {terminal(str(error))}",
            why="it is a text file in UTF-8, with one class name a line",
            fix="correct the path of --source-classes, or save the file as UTF-8",
        ) from None
    if not names or len(set(names)) < len(names):
        what = "names no class" if not names else "names a class twice"
        raise SettingsError(
            f"`{path}` {what}",
            why="rows of a head are matched by class name",
            fix="one class name a line, in the order of the source's head",
        )
    return names


def _head_rows(spec: RunSpec, source: Checkpoint) -> int:
    """The rows of the tensor that pairs with the head of a network built for any number of classes."""
    assert spec.source is not None
    with torch.random.fork_rng(devices=[]):
        trial = build(spec.model, 2, spec.preprocessing.channels)
    head = f"{classifier_name(trial)}.weight"
    if classes := read_classes(spec.source.classes) or source.classes:
        return len(classes)
    if head in source.tensors:
        return len(source.tensors[head])
    raise SettingsError(
        f"how many classes `{source.origin}` has is not known",
        why=f"the file names no class and has no `{head}` whose rows could be counted",
        fix="--source-classes FILE, with one class name a line in the order of its head",
    )

"""Importance: the Fisher information of a run's source model, by the target's parameters."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from tether.checkpoint.checkpoint import Checkpoint
from tether.curvature.fisher import fisher
from tether.curvature.information import Fisher
from tether.engine.measure import to_evaluate
from tether.engine.source import source_classes, source_model
from tether.errors import SettingsError
from tether.matching.transfer import Transfer
from tether.params.select import parameters
from tether.spec import RunSpec
from tether.tasks.image import Batch, ImageTask, still_batches


def importance(spec: RunSpec, source: Checkpoint | None, moved: Transfer | None, task: ImageTask) -> Fisher:
    """How much the source model's own answers depend on each transferred value.

    Its expectation is over the source's pictures, or over the target's training pictures with the classes that the
    source model itself gives them, which is another quantity: it says what matters to the source model there.

    Raises:
        SettingsError: there is no source, its classes are not known, or the target's labels are asked of its head.
        DataError: pictures are absent, or of classes that the source does not know.
        MatchError: the source has no whole head.

    """
    settings = spec.fisher
    if source is None or moved is None or spec.source is None:
        raise SettingsError(
            f"`plan.preset = {spec.plan.preset!r}` needs a source",
            why="it weighs each weight by what the source task needs of it",
            fix="--source …, or another plan",
        )
    whose = settings.data or ("source" if spec.source.data else "target")
    if whose == "target" and settings.kind == "empirical":
        raise SettingsError(
            "`fisher.kind = 'empirical'` needs the source's pictures",
            why="the labels of the target are not classes of the source's head",
            fix="--source-data …, or fisher.kind = 'exact' or 'sampled'",
        )
    if whose == "source" and spec.source.data is None:
        raise SettingsError(
            "`fisher.data = 'source'` needs the source's pictures",
            why="the importance is measured on them",
            fix="--source-data …, or --set fisher.data=target",
        )
    if whose == "source":
        classes = source_classes(spec, source)
        pictures, indices = to_evaluate(spec.source.data or "", classes, skip_bad=spec.data.skip_bad)
        model = source_model(spec, source, len(classes))
    else:
        pictures, indices = task.pictures, task.split.train
        model = source_model(spec, source)
    model.to(spec.device or "cpu")
    chosen = np.sort(np.random.default_rng(spec.seed).permutation(indices)[: settings.count])
    batches: Iterator[Batch] = still_batches(pictures, chosen, spec)
    found = fisher(
        model,
        batches,
        kind=settings.kind,
        floor=settings.floor,
        normalise=settings.normalise,
        draws=settings.draws,
        seed=spec.seed,
    )
    origin = "pictures of the source" if whose == "source" else "of the target's pictures, labelled by the source model"
    return replace(found, tensors=_on_target(found, moved), origin=origin)


def _on_target(found: Fisher, moved: Transfer) -> dict[str, Tensor]:
    """The information of every transferred value, row by row where a head was transferred in part."""
    targets = parameters(moved.model)
    placed = {}
    for pair in moved.match.pairs:
        if pair.is_buffer:
            continue
        values = found[pair.target]
        if pair.rows is not None:
            ours, theirs = (list(side) for side in zip(*pair.rows, strict=True))
            whole = values.new_zeros(targets[pair.target].shape)
            whole[ours] = values[theirs]
            values = whole
        placed[pair.target] = values
    return placed

"""Retention: how much of the source task the fine-tuned model still does."""

from typing import Any

import torch
from torch import nn

from tether.data.loading import load as load_pictures
from tether.engine.build import Job, read_classes
from tether.engine.evaluate import score
from tether.engine.measure import labelled_as
from tether.errors import MatchError, SettingsError
from tether.matching.transfer import transfer
from tether.models.build import build as build_model
from tether.tasks.image import still_batches


class Retention:
    """The source model of a run, rebuilt whole, and the source's own pictures.

    Raises:
        SettingsError: the source's class names are not known.
        DataError: the pictures are of other classes than the source's.
        MatchError: the source has no whole head to measure with.

    """

    def __init__(self, job: Job) -> None:
        settings = job.spec.source
        assert settings is not None and settings.data is not None and job.source is not None and job.moved is not None
        classes = read_classes(settings.classes) or job.source.classes
        if classes is None:
            raise SettingsError(
                f"the classes of `{job.source.origin}` are not known, so what is kept cannot be measured",
                fix="--source-classes FILE, with one class name a line in the order of its head",
            )
        self.job = job
        self.pictures = labelled_as(load_pictures(settings.data), classes, settings.data)
        state = torch.get_rng_state()
        self.model = build_model(job.spec.model, len(classes), job.spec.preprocessing.channels)
        torch.set_rng_state(state)
        moved = transfer(job.source, into=self.model, by=settings.by, rename=settings.rename, coverage=0.0)
        if moved.match.new:
            raise MatchError(
                f"`{job.source.origin}` lacks {', '.join(moved.match.new[:4])}, so its own task cannot be measured",
                fix="leave out `source.data`",
            )
        self.statistics = {name: value.clone() for name, value in self.model.named_buffers()}
        self.whole = [
            pair.target for pair in job.moved.match.pairs if pair.rows is None or len(pair.rows) == pair.shape[0]
        ]

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """Source accuracy of the source, of its head on the tuned body, and of that with the source's statistics."""
        outcome: dict[str, Any] = {"count": len(self.pictures), "source": self._accuracy()}
        tuned = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        mine = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        heads = {name for name in mine if mine[name].shape != tuned[name].shape}
        with torch.no_grad():
            for name in self.whole:
                if name not in heads:
                    mine[name].copy_(tuned[name])
            outcome["kept"] = self._accuracy()
            for name, value in self.model.named_buffers():
                value.copy_(self.statistics[name])
            outcome["kept_with_source_statistics"] = self._accuracy()
        return outcome

    def _accuracy(self) -> float:
        every = torch.arange(len(self.pictures)).numpy()
        return score(self.model, still_batches(self.pictures, every, self.job.spec)).accuracy

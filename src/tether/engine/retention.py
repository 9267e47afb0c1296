"""Retention: how much of the source task the fine-tuned model still does."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tether.engine.build import Job, read_classes
from tether.engine.evaluate import score
from tether.engine.measure import to_evaluate
from tether.errors import MatchError, SettingsError
from tether.matching.head import Head
from tether.matching.slots import slots
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
        self.pictures, self.chosen = to_evaluate(settings.data, classes, skip_bad=job.spec.data.skip_bad)
        state = torch.get_rng_state()
        self.model = build_model(job.spec.model, len(classes), job.spec.preprocessing.channels)
        torch.set_rng_state(state)
        moved = transfer(job.source, into=self.model, by=settings.by, rename=settings.rename, coverage=0.0)
        if moved.match.new:
            raise MatchError(
                f"`{job.source.origin}` lacks {', '.join(moved.match.new[:4])}, so its own task cannot be measured",
                fix="leave out `source.data`",
            )
        self.state = {name: value.clone() for name, value in self.model.state_dict().items()}
        head = set(Head.of(self.model, slots(self.model), target_classes=classes).parameters)
        tuned = job.model.state_dict()
        self.body = [
            name for name, value in self.state.items() if name not in head and tuned[name].shape == value.shape
        ]

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """Source accuracy of the source, of its head on the tuned body, and of that with the source's statistics."""
        buffers = {name for name, _ in self.model.named_buffers()}
        tuned = model.state_dict()
        body = {name: tuned[name] for name in self.body}
        weights = {name: value for name, value in body.items() if name not in buffers}
        return {
            "count": len(self.chosen),
            "source": self._accuracy({}),
            "kept": self._accuracy(body),
            "kept_with_source_statistics": self._accuracy(weights),
        }

    def _accuracy(self, changed: Mapping[str, Tensor]) -> float:
        self.model.load_state_dict(self.state)
        self.model.load_state_dict(changed, strict=False)
        return score(self.model, still_batches(self.pictures, self.chosen, self.job.spec)).accuracy

"""Retention: how much of the source task the fine-tuned model still does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tether.engine.build import Job
from tether.engine.evaluate import score
from tether.engine.measure import to_evaluate
from tether.engine.source import source_classes
from tether.engine.watch import Unwatched, Watched, over
from tether.engine.whole import WholeSource
from tether.shelf import current
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
        classes = source_classes(job.spec, job.source)
        self.job = job
        self.pictures, self.chosen = to_evaluate(settings.data, classes, skip_bad=job.spec.data.skip_bad)
        self.source = WholeSource(job, classes)
        self.state = {name: value.clone() for name, value in self.source.model.state_dict().items()}

    def measure(self, model: nn.Module, watch: Watched | None = None) -> dict[str, Any]:
        """Source accuracy of the source, of its head on the tuned body, and of that with the source's statistics."""
        buffers = {name for name, _ in self.source.model.named_buffers()}
        body = self.source.body_of(model)
        weights = {name: value for name, value in body.items() if name not in buffers}
        try:
            source = self._own(watch)
            kept = source if self._is_own(body) else self._accuracy(body, watch)
            statistics = {name: value for name, value in body.items() if name in buffers}
            return {
                "count": len(self.chosen),
                "source": source,
                "kept": kept,
                "kept_with_source_statistics": kept if self._is_own(statistics) else self._accuracy(weights, watch),
            }
        finally:
            self.source.model.load_state_dict(self.state)

    def _own(self, watch: Watched | None) -> float:
        """The source model's own accuracy; on a shelf, if one is in use, it is measured once for all runs."""
        shelf, spec, source = current(), self.job.spec, self.job.source
        if shelf is None or source is None or source.digest is None:
            return self._accuracy({}, watch)
        settings = spec.model_dump(mode="json", include={"model", "source", "preprocessing", "device", "threads"})
        about = {"source": source.digest, "pictures": self.pictures.digest, "batch": spec.train.batch_size, **settings}
        return float(shelf.array(about, lambda: np.array([self._accuracy({}, watch)]))[0])

    def _is_own(self, values: Mapping[str, Tensor]) -> bool:
        """Whether they are the source's, so that measuring again would give the same."""
        return all(torch.equal(value, self.state[name]) for name, value in values.items())

    def _accuracy(self, changed: Mapping[str, Tensor], watch: Watched | None) -> float:
        self.source.model.load_state_dict(self.state)
        self.source.model.load_state_dict(changed, strict=False)
        batches = still_batches(self.pictures, self.chosen, self.job.spec)
        return score(self.source.model, over(batches, watch or Unwatched())).accuracy

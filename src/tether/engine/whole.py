"""Whole: the source model of a run, with a head of its own, and its body as it was or as it has become."""

from collections.abc import Mapping

from torch import Tensor, nn

from tether.engine.build import Job
from tether.engine.source import source_model
from tether.matching.head import Head
from tether.matching.slots import slots
from tether.models.build import classifier_name


class WholeSource:
    """The source model, rebuilt; torch's seed is left alone.

    Args:
        classes: the names of its head's outputs; numbers when not given.

    Raises:
        MatchError: the source lacks a part of the network.
        SettingsError: how many classes its head has is not known.

    Attributes:
        head: the module that gives its outputs.
        body: the names of what a fine-tuned model can put in place of the source's: all but the head, by equal shape.
        fits: whether that is all but the head.
    """

    def __init__(self, job: Job, classes: tuple[str, ...] | None = None) -> None:
        assert job.source is not None
        model = source_model(job.spec, job.source, len(classes) if classes else None)
        self.model = model.to(job.spec.device or "cpu").eval()
        self.head = classifier_name(self.model)
        own = set(Head.of(self.model, slots(self.model), target_classes=classes).parameters)
        tuned = job.model.state_dict()
        state = self.model.state_dict()
        self.body = [
            name
            for name, value in state.items()
            if name not in own and name in tuned and tuned[name].shape == value.shape
        ]
        self.fits = len(self.body) == len(state.keys() - own)

    def body_of(self, tuned: nn.Module) -> Mapping[str, Tensor]:
        """The values of a fine-tuned model that stand in the source's body."""
        state = tuned.state_dict()
        return {name: state[name] for name in self.body}

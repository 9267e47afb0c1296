"""Agreement: how far the outputs of the fine-tuned body under the source's head are from the source model's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from tether.engine.whole import WholeSource
from tether.models.build import classifier_name


@dataclass
class Compared:
    """Sums over the pictures that both models were shown.

    Args:
        odd: pictures on which an output is not finite.
        moved: Σ ‖f − f0‖/‖f0‖ over the `measured` pictures, those whose source features are not all zero.
    """

    count: int = 0
    odd: int = 0
    equal: int = 0
    divergence: float = 0.0
    moved: float = 0.0
    measured: int = 0

    def add(self, source: Float[Tensor, "n classes"], tuned: Float[Tensor, "n classes"]) -> None:
        """Count the outputs for some pictures."""
        ours, theirs = (outputs.float().cpu() for outputs in (tuned, source))
        self.count += len(theirs)
        self.odd += int((~(ours.isfinite() & theirs.isfinite()).all(1)).sum())
        self.equal += int((ours.argmax(1) == theirs.argmax(1)).sum())
        p, q = (outputs.double().log_softmax(1) for outputs in (theirs, ours))
        self.divergence += float((p.exp() * (p - q)).sum(1).clamp_min(0).sum())

    def add_features(self, source: Float[Tensor, "n features"], tuned: Float[Tensor, "n features"]) -> None:
        """Count what goes into the head for some pictures."""
        ours, theirs = (features.cpu().double() for features in (tuned, source))
        size = theirs.norm(dim=1)
        self.moved += float(((ours - theirs).norm(dim=1) / size)[size > 0].sum())
        self.measured += int((size > 0).sum())

    def to_json(self) -> dict[str, Any] | None:
        """Means; none where an output is not finite."""
        if self.odd or not self.count:
            return None
        return {
            "count": self.count,
            "agreement": self.equal / self.count,
            "kl": self.divergence / self.count,
            "features": self.moved / self.measured if self.measured else None,
        }


class Agreement:
    """Compares a fine-tuned model with the source model on whatever the former is shown."""

    def __init__(self, source: WholeSource) -> None:
        self.source = source

    @contextmanager
    def beside(self, model: nn.Module) -> Iterator[Compared]:
        """Show the source model every batch that the fine-tuned one is shown, which costs one pass of the former.

        What goes into the fine-tuned model's head is given to the source's head. Where that is not the source model's
        last step, or the bodies differ, the source model passes a second time, with the fine-tuned body in it.
        """
        found, source = Compared(), self.source
        ours, theirs = _Head(model, classifier_name(model)), _Head(source.model, source.head)

        def compare(_: nn.Module, inputs: tuple[Any, ...], __: Any) -> None:
            outputs = source.model(*inputs)
            (before, answer), (after, _own) = theirs.taken(), ours.taken()
            if after is not None and answer is not None and source.fits and torch.equal(answer, outputs):
                tuned = theirs.module(after)
            else:
                tuned = functional_call(source.model, dict(source.body_of(model)), inputs)
            found.add(outputs, tuned)
            if before is not None and after is not None and before.shape == after.shape:
                found.add_features(before.flatten(1), after.flatten(1))

        handle = model.register_forward_hook(compare)
        try:
            yield found
        finally:
            for each in (handle, *ours.handles, *theirs.handles):
                each.remove()


class _Head:
    """What went into a head and what came out of it, at its last pass."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.module = model.get_submodule(name)
        self.seen: tuple[Tensor | None, Tensor | None] = (None, None)
        self.handles = [self.module.register_forward_hook(self._note)]

    def taken(self) -> tuple[Tensor | None, Tensor | None]:
        """Both, once."""
        found, self.seen = self.seen, (None, None)
        return found

    def _note(self, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        shown, said = (value if isinstance(value, Tensor) else None for value in ((*inputs, None)[0], output))
        self.seen = shown, said

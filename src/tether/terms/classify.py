"""Classify: the cross entropy of the labels."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from tether.errors import DataError, PlanError
from tether.terms.base import Seen, Term, logits_of
from tether.terms.checks import checked_number


@dataclass(frozen=True, repr=False)
class Classify(Term):
    r"""Cross entropy, $-\frac1n\sum_i\sum_c q_{ic}\log p_c(x_i)$, in nats.

    q is 1 at the label; with smoothing s it is 1 − s + s/C there and s/C at the other classes (Szegedy et al., 2016,
    section 7). Its minimum is 0 without smoothing, and the entropy of q with it.

    Args:
        label_smoothing: s, from 0 on and below 1.

    Raises:
        PlanError: s is out of that range.

    >>> import torch
    >>> from torch import nn
    >>> Classify()(nn.Linear(2, 4), (torch.zeros(3, 2), torch.tensor([0, 1, 3]))).total.shape
    torch.Size([])

    """

    label_smoothing: float = 0.0
    name: ClassVar[str] = "classify"

    def __post_init__(self) -> None:
        smoothing = checked_number("Classify", "label_smoothing", self.label_smoothing)
        if smoothing >= 1:
            raise PlanError(
                f"`Classify(label_smoothing={smoothing!r})`: below 1, where no label is left",
                why="it is the share of each label that is spread over all classes",
                fix="Classify(label_smoothing=0.1), or 0 for none",
            )
        object.__setattr__(self, "label_smoothing", smoothing)

    def value(self, seen: Seen) -> Float[Tensor, ""]:
        """Mean over the batch.

        Raises:
            DataError: there are no labels, or not one whole number a sample.

        """
        logits, labels = logits_of(seen.student, "model"), seen.labels
        if labels is None:
            raise DataError(
                f"`{self!r}` needs labels", why="it is the cross-entropy with them", fix="batches of (inputs, labels)"
            )
        fits = isinstance(labels, Tensor) and labels.shape == logits.shape[:1]
        if not fits or labels.is_floating_point() or labels.is_complex():
            found = f"{tuple(labels.shape)} of {labels.dtype}" if isinstance(labels, Tensor) else type(labels).__name__
            raise DataError(
                f"labels are one whole number for each of {len(logits)} samples, and these are {found}",
                why="a label is the number of a class, counted from 0 as the head counts",
                fix="labels of dtype int64 and of shape (batch,)",
            )
        return cross_entropy(logits, labels.long(), label_smoothing=self.label_smoothing)

    def __repr__(self) -> str:
        return f"Classify(label_smoothing={self.label_smoothing!r})" if self.label_smoothing else "Classify()"

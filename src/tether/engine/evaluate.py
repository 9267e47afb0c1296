"""Scores of a model on labelled batches."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from tether.errors import Diverged
from tether.tasks.image import Batch


@dataclass(frozen=True)
class Scores:
    """Accuracy with its Wilson interval over items, balanced accuracy, macro F1, and mean negative log likelihood.

    >>> print(Scores.of(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])))
    accuracy 0.500 [0.095, 0.905] on 2 · balanced 0.500 · F1 0.333 · NLL 1.127
    """

    accuracy: float
    low: float
    high: float
    balanced: float
    f1: float
    nll: float
    count: int

    @classmethod
    def of(cls, logits: Float32[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> "Scores":
        """Score logits against labels.

        Raises:
            Diverged: a logit is not finite.
        """
        from scipy.stats import binomtest
        from sklearn.metrics import f1_score, recall_score

        if bad := int((~logits.isfinite().all(1)).sum()):
            raise Diverged(
                f"the model's outputs are not finite on {bad} of {len(labels)} pictures",
                why="its weights have grown too large, or a picture holds values that are not finite",
                fix="a lower --lr",
            )
        truth, guess = labels.numpy(), logits.argmax(1).numpy()
        right = int((truth == guess).sum())
        interval = binomtest(right, len(truth)).proportion_ci(0.95, method="wilson")
        return cls(
            accuracy=right / len(truth),
            low=float(interval.low),
            high=float(interval.high),
            balanced=float(recall_score(truth, guess, average="macro", labels=np.unique(truth), zero_division=0.0)),
            f1=float(f1_score(truth, guess, average="macro", zero_division=0.0)),
            nll=float(functional.cross_entropy(logits.double(), labels)),
            count=len(truth),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        interval = f"[{self.low:.3f}, {self.high:.3f}] on {self.count:,}"
        rest = f"balanced {self.balanced:.3f} · F1 {self.f1:.3f} · NLL {self.nll:.3f}"
        return f"accuracy {self.accuracy:.3f} {interval} · {rest}"


@torch.no_grad()
def logits_of(model: nn.Module, batches: Iterable[Batch]) -> tuple[Float32[Tensor, "n classes"], Int64[Tensor, " n"]]:
    """Outputs and labels over batches, with every layer in evaluation mode, which is put back afterwards."""
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    model.eval()
    outputs, labels = [], []
    for pictures, truth in batches:
        outputs.append(model(pictures.to(device)).float().cpu())
        labels.append(truth)
    for module, mode in modes.items():
        module.training = mode
    return torch.cat(outputs), torch.cat(labels)


def score(model: nn.Module, batches: Iterable[Batch]) -> Scores:
    """Scores of a model over batches.

    Raises:
        Diverged: an output is not finite.
    """
    return Scores.of(*logits_of(model, batches))

"""Evaluate: the outputs of a model on labelled batches, its answers and their scores."""

from collections.abc import Iterable

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from tether.answers import Answers
from tether.scores import Scores
from tether.tasks.image import Batch


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


def answers_of(model: nn.Module, batches: Iterable[Batch]) -> Answers:
    """What a model says to each picture.

    Raises:
        Diverged: an output is not finite.
    """
    logits, labels = logits_of(model, batches)
    return Answers.of(logits.numpy(), labels.numpy())


def score(model: nn.Module, batches: Iterable[Batch]) -> Scores:
    """Scores of a model over batches.

    Raises:
        Diverged: an output is not finite.
    """
    return Scores.of(answers_of(model, batches))

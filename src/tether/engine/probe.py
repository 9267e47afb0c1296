"""The linear probe: logistic regression on what goes into a network's head."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from tether.answers import Answers
from tether.models.build import classifier_name
from tether.scores import Scores
from tether.tasks.image import Batch, ImageTask

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
UNCHOSEN = 0.1
LEAST = 1e-30


@torch.no_grad()
def features_of(
    model: nn.Module, batches: Iterable[Batch]
) -> tuple[Float32[np.ndarray, "n features"], Int64[np.ndarray, " n"]]:
    """The input of the head for every picture, with every layer in evaluation mode."""
    seen: list[Tensor] = []
    head = model.get_submodule(classifier_name(model))
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float().flatten(1).cpu()))
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    model.eval()
    labels = []
    try:
        for pictures, truth in batches:
            model(pictures.to(device))
            labels.append(truth)
    finally:
        handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return torch.cat(seen).numpy(), torch.cat(labels).numpy()


def probe(model: nn.Module, task: ImageTask) -> dict[str, Any]:
    """Fit a logistic regression on frozen features of the training pictures, and score it on the test pictures.

    Its inverse strength C is chosen on the validation pictures, and is 0.1 where there are none.
    """
    train, truth = features_of(model, task.still("train"))
    chosen = UNCHOSEN
    if len(task.split.validation):
        held, labels = features_of(model, task.still("validation"))
        chosen = max(STRENGTHS, key=lambda c: _fitted(train, truth, c).score(held, labels))
    head = _fitted(train, truth, chosen)
    outcome: dict[str, Any] = {"C": chosen, "chosen_on_validation": bool(len(task.split.validation))}
    if len(task.split.test):
        features, labels = features_of(model, task.still("test"))
        logits = np.log(np.maximum(head.predict_proba(features), LEAST))
        outcome |= Scores.of(Answers.of(logits, labels)).to_json()
    return outcome


def _fitted(features: Float32[np.ndarray, "n features"], labels: Int64[np.ndarray, " n"], c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)).fit(features, labels)

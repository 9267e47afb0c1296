"""The linear probe of a network: a linear head on what goes into its own, which may start there."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from tether.answers import Answers
from tether.data.pictures import Pictures
from tether.errors import SettingsError
from tether.models.build import classifier_name
from tether.scores import Scores
from tether.shelf import current
from tether.spec import RunSpec
from tether.strength.probe import LinearProbe
from tether.tasks.image import Batch, ImageTask, still_batches

BLOCK = 16
Features = Float32[np.ndarray, "n features"]


def probe(model: nn.Module, task: ImageTask) -> dict[str, Any]:
    """Fit the probe to frozen features of the training pictures; what is known of it, with its scores on the test."""
    return fitted(model, task, tested=True)[1]


def fitted(model: nn.Module, task: ImageTask, *, tested: bool = False) -> tuple[LinearProbe, dict[str, Any]]:
    """The probe of a network, and what is known of it.

    Args:
        tested: score it on the test pictures, on which nothing is chosen.

    Raises:
        InputError: a feature is not finite.
    """
    parts = [task.split.train, task.split.validation, task.split.test if tested else task.split.test[:0]]
    with _threads(task.spec.threads):
        features = frozen_features(model, task.pictures, np.concatenate(parts), task.spec)
        shown = np.split(features, np.cumsum([len(part) for part in parts])[:-1])
        train, validation, test = zip(shown, (task.pictures.labels[part] for part in parts), strict=True)
        classes = len(task.pictures.classes)
        found = LinearProbe.of(train, classes, validation=validation if len(parts[1]) else None)
        outcome = found.to_json()
        if len(parts[2]):
            outcome |= Scores.of(Answers.of(found.outputs(test[0]), test[1])).to_json()
    return found, outcome


def start_at_probe(model: nn.Module, head: nn.Linear, task: ImageTask, *, tested: bool = False) -> dict[str, Any]:
    """Put the probe into the network's own head, all rows, and return what is known of it.

    Raises:
        InputError: a feature is not finite.
    """
    found, outcome = fitted(model, task, tested=tested)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(found.weight))
        head.bias.copy_(torch.from_numpy(found.bias))
    return outcome


def linear_head(model: nn.Module, task: ImageTask) -> nn.Linear:
    """The head of a network whose outputs are a linear function of what goes into it.

    Raises:
        SettingsError: it is not one linear layer with a bias, or something comes after it.
    """
    name = classifier_name(model)
    head = model.get_submodule(name)
    if type(head) is not nn.Linear or head.bias is None:
        found = "a linear layer without a bias" if type(head) is nn.Linear else f"a {type(head).__name__}"
        raise _no_probe(f"its head `{name}` is {found}")
    if not _gives_outputs(model, head, task):
        raise _no_probe(f"its outputs are not those of its head `{name}`, or this takes more than one row a picture")
    return head


def frozen_features(model: nn.Module, pictures: Pictures, indices: Int64[np.ndarray, " n"], spec: RunSpec) -> Features:
    """The input of the head for some pictures, as they are; on a shelf, if one is in use, those of all.

    Pictures always go through the network in the same blocks, so that neither a shelf nor the choice changes a bit.
    """
    shelf = current()
    if shelf is not None:
        every = np.arange(len(pictures))
        about = {"features": _digest(model), "of": pictures.digest, "as": _conditions(spec)}
        return shelf.array(about, lambda: _in_blocks(model, pictures, every, spec))[indices]  # type: ignore[no-any-return]
    return _in_blocks(model, pictures, indices, spec)


@torch.no_grad()
def features_of(model: nn.Module, batches: Iterable[Batch]) -> tuple[Features, Int64[np.ndarray, " n"]]:
    """The input of the head for every picture, with every layer in evaluation mode."""
    seen: list[Tensor] = []
    head = model.get_submodule(classifier_name(model))
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float().flatten(1).cpu()))
    device = next(model.parameters()).device
    labels = []
    try:
        with _evaluating(model):
            for pictures, truth in batches:
                model(pictures.to(device))
                labels.append(truth)
    finally:
        handle.remove()
    return torch.cat(seen).numpy(), torch.cat(labels).numpy()


def _in_blocks(model: nn.Module, pictures: Pictures, indices: Int64[np.ndarray, " n"], spec: RunSpec) -> Features:
    """Send each block of neighbours that holds one of the pictures through the network."""
    blocks, which = np.unique(indices // BLOCK, return_inverse=True)
    shown = [np.arange(block * BLOCK, min((block + 1) * BLOCK, len(pictures))) for block in blocks]
    batches = (batch for block in shown for batch in still_batches(pictures, block, spec, size=BLOCK))
    features: Features = features_of(model, batches)[0]
    wanted: Features = features[which * BLOCK + indices % BLOCK]
    return wanted


@torch.no_grad()
def _gives_outputs(model: nn.Module, head: nn.Linear, task: ImageTask) -> bool:
    said: list[Tensor] = []
    handle = head.register_forward_hook(lambda _, inputs, output: said.append(output))
    pictures, _ = next(iter(still_batches(task.pictures, task.split.train[:2], task.spec)))
    try:
        with _evaluating(model):
            outputs = model(pictures.to(head.weight.device))
    finally:
        handle.remove()
    return len(said) == 1 and said[0].ndim == 2 and torch.equal(outputs, said[0])


def _no_probe(why: str) -> SettingsError:
    return SettingsError(
        '`source.head = "probe"` cannot set the head of this network',
        why=f"a probe is a weight and a bias for each class, and {why}",
        fix='`head = "zero"` or `"random"` under [source], or a network that ends with one linear layer',
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Every layer in evaluation mode, and afterwards each as it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """As many as the run will have, since sums may be in another order with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _digest(model: nn.Module) -> str:
    """SHA-256 of all that stands before the head."""
    head, found = f"{classifier_name(model)}.", hashlib.sha256()
    for name, value in model.state_dict().items():
        if not name.startswith(head):
            found.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
            found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _conditions(spec: RunSpec) -> str:
    """What else the bits of a feature depend on."""
    network, prepared = spec.model.model_dump(), spec.preprocessing.model_dump()
    by = {"torch": torch.__version__, "device": spec.device, "threads": torch.get_num_threads(), "block": BLOCK}
    return json.dumps([network, prepared, by], sort_keys=True)

"""Objective: the loss of one batch, its gradients, and what of them does not come through the model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tether.errors import SettingsError

Call = Callable[[], Float[Tensor, ""]]
Batch = Call | Sequence[Any]
Loss = Callable[[Any, Any], Float[Tensor, ""]]
Gradients = Mapping[nn.Parameter, Tensor]


@dataclass(frozen=True)
class OwnTerms:
    """What a loss adds beside the model's outputs.

    Args:
        gradients: of those terms alone; empty where there is none.
        called: whether the model was called at all: where only its parts are used, nothing is known.
        half: whether its layers ran under float16 autocast.

    """

    gradients: Gradients
    called: bool
    half: bool


def objective(model: nn.Module, batch: Batch, loss: Loss) -> Call:
    """The loss of a batch as a function without arguments.

    Raises:
        SettingsError: the batch is neither a pair of inputs and targets nor a function that returns the loss.

    """
    if callable(batch):
        return batch
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        raise SettingsError(
            f"`batch` is a {type(batch).__name__}, and neither a pair of inputs and targets nor a function",
            why="the audit takes one real step, and must know what loss to take it on",
            fix="leash.audit(optimizer, (inputs, targets)), or a function of your own: lambda: model(**batch).loss",
        )
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    inputs, targets = (part.to(device) if isinstance(part, Tensor) else part for part in batch)
    return lambda: loss(model(inputs), targets)


def gradients(call: Call, parameters: Iterable[nn.Parameter], scaler: Any = None) -> dict[nn.Parameter, Tensor]:
    """Run a loss and its backward pass, unless the function has run one itself; leave `.grad` as it was.

    Raises:
        SettingsError: it returns no scalar.

    """
    before = {p: p.grad for p in parameters}
    for p in before:
        p.grad = None
    try:
        with torch.enable_grad():
            _backward(call(), list(before), scaler)
        return {p: p.grad for p in before if p.grad is not None}
    finally:
        for p, grad in before.items():
            p.grad = grad


def own_terms(model: nn.Module, call: Call, parameters: Iterable[nn.Parameter]) -> OwnTerms:
    """The gradients of a loss with respect to parameters on any other way than through the model's layers."""
    seen = {"called": False, "half": False}
    with _constant(model, seen):
        try:
            found = gradients(call, parameters)
        except RuntimeError as error:
            if "does not require grad" not in str(error):  # the function runs its own backward pass, of a constant
                raise
            found = {}
    return OwnTerms(found, **seen)


def _backward(loss: Any, parameters: Sequence[nn.Parameter], scaler: Any) -> None:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        what = f"a tensor of {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise SettingsError(
            f"the loss is {what} and no scalar",
            why="a step has one gradient, that of one number",
            fix="return the mean loss of the batch",
        )
    ran_already = any(p.grad is not None for p in parameters)
    if loss.requires_grad and not ran_already:
        torch.autograd.backward(loss if scaler is None else scaler.scale(loss))


@contextmanager
def _constant(model: nn.Module, seen: dict[str, bool]) -> Iterator[None]:
    """Let no gradient flow through the layers of a model, and note what its calls look like."""
    modes: list[bool] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        kind = next((p.device.type for p in module.parameters()), "cpu")
        seen["called"] = True
        seen["half"] |= torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
        modes.append(torch.is_grad_enabled())
        torch.set_grad_enabled(False)

    def leave(module: nn.Module, inputs: Any, outputs: Any) -> None:
        torch.set_grad_enabled(modes.pop())

    handles = [handle for module in model.modules() for handle in _around(module, enter, leave)]
    try:
        with torch.enable_grad():  # and after an error within a layer, what was set before
            yield
    finally:
        for handle in handles:
            handle.remove()


def _around(module: nn.Module, enter: Any, leave: Any) -> tuple[Any, Any]:
    return module.register_forward_pre_hook(enter), module.register_forward_hook(leave)

"""Snapshot: whatever an audit touches, put back bit for bit."""

import copy
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tether.binding import Tether

T = TypeVar("T", bound=Tensor)


@contextmanager
def unchanged(leash: Tether, optimizer: Optimizer, scaler: Any = None) -> Iterator[None]:
    """Leave model, gradients, optimiser, scaler, tether and random generators as they were, also when it raises.

    What hooks and closures of the user's own write elsewhere is not put back.
    """
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    parameters = _once([*leash.model.parameters(), *leash.parameters.values(), *trained])
    with ExitStack() as stack:
        stack.enter_context(_generators(parameters))
        stack.enter_context(_modules(leash.model))
        stack.enter_context(_values([*parameters, *leash.model.buffers()]))
        stack.enter_context(_gradients(parameters))
        stack.enter_context(_optimizer(optimizer))
        stack.enter_context(_tether(leash))
        if scaler is not None:
            stack.enter_context(_attributes(scaler))
            scaler._per_optimizer_states = copy.deepcopy(scaler._per_optimizer_states)
        yield


@contextmanager
def _attributes(*things: object) -> Iterator[None]:
    saved = [(thing, dict(vars(thing))) for thing in things]
    try:
        yield
    finally:
        for thing, was in saved:
            vars(thing).clear()
            vars(thing).update(was)


@contextmanager
def _optimizer(optimizer: Optimizer) -> Iterator[None]:
    """Let the steps work on copies of its state and groups."""
    with _attributes(optimizer):
        optimizer.state = defaultdict(dict, {p: copy.deepcopy(state) for p, state in optimizer.state.items()})
        optimizer.param_groups = [dict(group) for group in optimizer.param_groups]
        yield


@contextmanager
def _tether(leash: Tether) -> Iterator[None]:
    attachment = leash.attachment
    inner = [attachment, attachment.gathering] if attachment else []
    with _attributes(leash, *leash.parts, *inner):
        leash._history = list(leash._history)
        if attachment is not None:
            collected = attachment.gathering.collected.items()
            attachment.gathering.collected = {part: copy.deepcopy(total) for part, total in collected}
        yield


@contextmanager
def _values(tensors: Iterable[Tensor]) -> Iterator[None]:
    saved = [(tensor, tensor.detach().clone()) for tensor in _once(tensors)]
    try:
        yield
    finally:
        for tensor, was in saved:
            tensor.detach().copy_(was)


@contextmanager
def _gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Set the gradients aside, but for those that are zero of frozen parameters: an optimiser steps them.

    One that is not zero is what the last step has used, and the loop's `zero_grad` is still to come.
    """
    saved = [(p, p.grad) for p in parameters]
    for p, grad in saved:
        stays = not p.requires_grad and grad is not None and not grad.any()
        p.grad = torch.zeros_like(p) if stays else None
    try:
        yield
    finally:
        for p, grad in saved:
            p.grad = grad


@contextmanager
def _modules(model: nn.Module) -> Iterator[None]:
    saved = [(module, module.training, dict(module._buffers)) for module in model.modules()]
    try:
        yield
    finally:
        for module, training, buffers in saved:
            module.training = training
            module._buffers.update(buffers)


@contextmanager
def _generators(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    devices = {p.device.index for p in parameters if p.device.type == "cuda"}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _once(tensors: Iterable[T]) -> list[T]:
    return list({id(tensor): tensor for tensor in tensors}.values())

"""The effective step of an optimiser: how far a constant unit gradient moves a weight, per step, in the long run."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tether.errors import UnknownStep

Step = Callable[[Mapping[str, Any]], float | Tensor]


def _rate(group: Mapping[str, Any]) -> float | Tensor:
    lr: float | Tensor = group["lr"]
    return lr


def _sgd(group: Mapping[str, Any]) -> float | Tensor:
    momentum: float = group["momentum"]
    dampening: float = group["dampening"] if momentum else 0.0
    return _rate(group) * (1 - dampening) / (1 - momentum)


def _rmsprop(group: Mapping[str, Any]) -> float | Tensor:
    momentum: float = group["momentum"]
    return _rate(group) / (1 - momentum)


STEPS: dict[type[Optimizer], Step] = {
    torch.optim.SGD: _sgd,
    torch.optim.RMSprop: _rmsprop,
    **dict.fromkeys(
        (
            torch.optim.Adam,
            torch.optim.AdamW,
            torch.optim.Adamax,
            torch.optim.NAdam,
            torch.optim.RAdam,
            torch.optim.Adafactor,
            torch.optim.Muon,
        ),
        _rate,
    ),
}
"""By exact class: a subclass may step otherwise."""

STEPLESS = {
    torch.optim.Adagrad: "its step shrinks with every gradient, for each weight by its own measure",
    torch.optim.Adadelta: "its step is made of past updates and has no rate",
    torch.optim.Rprop: "its step depends on signs alone",
    torch.optim.ASGD: "its step decays by a schedule of its own",
    torch.optim.LBFGS: "it takes many steps in one, along a direction that it searches",
    torch.optim.SparseAdam: "it steps only the rows that have a gradient",
}


def effective_step(optimizer: Optimizer, step: Step | float | None = None) -> Step:
    """Return the function from a parameter group to its effective step η.

    η is `lr` for Adam and its like, lr·(1 − dampening)/(1 − momentum) for SGD (with which alone prox and SGD have the
    objective's fixed point), lr/(1 − momentum) for RMSprop; `step` overrides it.

    Raises:
        UnknownStep: no step is right for this optimiser, none is known, or `step` is not one.

    >>> sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.75)
    >>> effective_step(sgd)(sgd.param_groups[0])
    0.4

    """
    kind = type(optimizer)
    if callable(step):
        return step
    if step is not None:
        constant = float(step)
        if not (math.isfinite(constant) and constant > 0):
            raise UnknownStep(
                f"`step={step!r}`: an effective step is a finite number above 0",
                why="it is how far one step of the optimiser goes",
                fix="step=0.01, or leave it out for an optimiser that is known",
            )
        return lambda group: constant
    if kind in STEPS:
        return STEPS[kind]
    name = f"{kind.__module__.split('.')[0]}'s {kind.__name__}"
    if kind in STEPLESS:
        raise UnknownStep(
            f"no prox step is right for `{kind.__name__}`: {STEPLESS[kind]}",
            why="a prox with another step ends elsewhere than at the minimum of its objective",
            fix='via="gradient"',
        )
    if kind.__module__.startswith("schedulefree"):
        raise UnknownStep(
            f"`{name}` trains on an average of its iterates, which a prox would break",
            why="the weights of a step are not those that are averaged",
            fix='via="gradient"',
        )
    raise UnknownStep(
        f"the effective step of `{name}` is not known",
        why="with a wrong one the prox would pull to another minimum",
        fix='via="gradient", or attach(..., step=lambda group: group["lr"]) if that is its step',
    )

"""The optimiser of a run, and its rate at every step."""

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from tether.spec import OptimizerSpec


def rate(step: int, total: int, warmup: float) -> float:
    """Share of the peak rate at a step: up linearly during the warm-up, then down a cosine (Loshchilov, Hutter, 2017).

    >>> [round(rate(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    rising = round(total * warmup)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def make_optimizer(spec: OptimizerSpec, model: nn.Module) -> Optimizer:
    """AdamW or SGD, fused and without a decay of its own; of no parameter where none is trained."""
    trainable = [{"params": [p for p in model.parameters() if p.requires_grad]}]
    lr = spec.lr
    assert lr is not None
    if spec.name == "sgd":
        return torch.optim.SGD(trainable, lr=lr, momentum=spec.momentum, fused=True)
    return torch.optim.AdamW(trainable, lr=lr, weight_decay=0.0, fused=True)


def make_schedule(spec: OptimizerSpec, optimizer: Optimizer, total: int) -> LambdaLR:
    """The rate over `total` steps."""
    return LambdaLR(optimizer, lambda step: rate(step, total, spec.warmup))

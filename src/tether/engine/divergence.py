"""Divergence: a step that would put non-finite values into the weights is not made, and their place is told."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from tether.engine.training import Row, Training
from tether.errors import Diverged
from tether.tasks.image import Batch

TOO_FAST = "the rate is too high, or a picture holds values that are not finite"
SLOWER = "a new --out with a lower --lr, or a longer warm-up: --set optimizer.warmup=0.3"
NAMED = 3


def refuse_divergence(training: Training, losses: list[Tensor], batch: Batch) -> None:
    """Stop before the update where the loss or a gradient is not finite, in any process.

    Raises:
        Diverged: it is; the message names step, pictures and layer.
    """
    grads = [p.grad for group in training.optimizer.param_groups for p in group["params"] if p.grad is not None]
    finite = torch.isfinite(torch.stack([*losses, torch.nn.utils.get_total_norm(grads)]))
    if not training.ranks.most(not finite.all()):
        return
    where = f"at step {training.step + 1}, in epoch {training.epoch + 1}"
    if finite[:-1].all():
        names = [name for name, p in training.job.leash.parameters.items() if p.grad is not None and _bad(p.grad)]
        raise Diverged(
            f"the gradient is not finite {where}" + (f", first of `{names[0]}`" if names else ""),
            why=f"that step was not made; {TOO_FAST}; {_pictures(training)}",
            fix=SLOWER,
        )
    layer = first_bad_layer(training.job.model, batch[0])
    raise Diverged(
        f"the loss is not finite {where}" + (f", first in the output of `{layer}`" if layer else ""),
        why=f"that step was not made; {TOO_FAST}; {_pictures(training)}",
        fix=SLOWER,
    )


def refuse_overflow(row: Row) -> None:
    """Stop where an epoch's last update has made the weights too large to measure.

    Raises:
        Diverged: a figure of the row is not finite.
    """
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        raise Diverged(f"`{bad[0]}` is not finite after epoch {row['epoch']}", why=TOO_FAST, fix=SLOWER)


@torch.no_grad()
def first_bad_layer(model: nn.Module, inputs: Tensor) -> str | None:
    """The first layer, in the order of their calls, of which an output is not finite though its inputs are.

    >>> first_bad_layer(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), torch.ones(1, 1)) is None
    True
    """
    found: list[str] = []

    def listen(name: str, module: nn.Module) -> Any:
        def hear(_module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and _bad(output) and not any(_bad(value) for value in inputs):
                found.append(name)

        return module.register_forward_hook(hear)

    handles = [listen(name, module) for name, module in model.named_modules() if name and not any(module.children())]
    try:
        with torch.random.fork_rng(devices=[]):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _bad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all())


def _pictures(training: Training) -> str:
    chosen: Int64[np.ndarray, " n"] = training.job.task.chosen(training.epoch)[training.batch]
    names = [f"`{training.job.task.pictures.names[index]}`" for index in chosen[:NAMED]]
    return f"the batch is {', '.join(names)}{f' and {len(chosen) - NAMED} more' if len(chosen) > NAMED else ''}"

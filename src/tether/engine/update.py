"""Update: one step of the optimiser, on a batch whole or in parts."""

import gc
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from tether.engine.build import Job
from tether.engine.divergence import refuse_divergence
from tether.engine.training import Training
from tether.errors import Diverged, SettingsError
from tether.memory import is_out_of_memory
from tether.tasks.image import Batch
from tether.terms.result import Terms


def update(training: Training, network: nn.Module, batch: Batch) -> float:
    """Make one step and return its loss; the attached tether acts in it.

    Where memory runs out and `train.auto_batch` is set, what goes through the network at once is halved, for this step
    and all after it.

    Raises:
        Diverged: the loss or a gradient is not finite; weights, optimiser and torch's generator are as before the step.
    """
    job, before = training.job, torch.get_rng_state()
    while True:
        try:
            parts = backward(training, network, batch)
            break
        except Exception as error:
            smaller = (training.micro or len(batch[1])) // 2
            if not (job.spec.train.auto_batch and smaller and is_out_of_memory(error)):
                raise
        training.micro = smaller
        _forget(training, before)
    try:
        refuse_divergence(training, [terms.total.detach() for terms, _ in parts], batch)
    except Diverged:
        _forget(training, before)
        raise
    training.optimizer.step()  # the attached tether acts here
    training.optimizer.zero_grad()
    training.schedule.step()
    training.step += 1
    training.batch += 1
    for terms, labels in parts:
        training.sums.add(terms, labels)
    return sum(terms.total.item() * len(labels) for terms, labels in parts) / len(batch[1])


def backward(training: Training, network: nn.Module, batch: Batch) -> list[tuple[Terms, Tensor]]:
    """The gradient of the mean loss of a batch, gathered over its parts; the terms and labels of each."""
    pictures, labels = (tensor.to(training.job.spec.device) for tensor in batch)
    size = training.micro or len(labels)
    parts = []
    starts = range(0, len(labels), size)
    for start in starts:
        part = slice(start, start + size)
        last = start == starts[-1]
        with nullcontext() if last else _unshared(network):
            terms = training.job.objective(network, (pictures[part], labels[part]))
            share = len(labels[part]) / len(labels)
            torch.autograd.backward(terms.total if share == 1 else terms.total * share)
        parts.append((terms, labels[part]))
    return parts


def refuse_to_part(job: Job) -> None:
    """Refuse to part batches where the parts do not add up to the whole.

    Raises:
        SettingsError: a layer takes the statistics of its batch, or a term looks at the batch as one.
    """
    job.train_mode()
    if layers := batch_statistics(job.model):
        raise SettingsError(
            f"`train.auto_batch` cannot part a batch: `{layers[0]}` takes its statistics over the batch",
            why="with smaller parts it would be another network, not the same one in less memory",
            fix="--batchnorm source with a source, a network without BatchNorm, or a smaller --batch-size",
        )
    if terms := [term.name for _, term in job.objective.parts if not term.is_mean]:
        raise SettingsError(
            f"`train.auto_batch` cannot part a batch: the term `{terms[0]}` looks at the batch as one",
            why="the values of its parts do not add up to its value",
            fix="another train.loss, or a smaller --batch-size",
        )


def batch_statistics(model: nn.Module) -> list[str]:
    """The layers that normalise by the batch in the mode that the model is in."""
    return [name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and module.training]


def moves_in_a_pass(model: nn.Module) -> bool:
    """Whether a pass in training may change a buffer of the model, as running statistics are."""
    return any(module.training and any(True for _ in module.buffers(recurse=False)) for module in model.modules())


def _unshared(network: nn.Module) -> Any:
    """Without taking the mean over processes, which the last part does for all."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def _forget(training: Training, generator: Tensor) -> None:
    training.optimizer.zero_grad()
    torch.set_rng_state(generator)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

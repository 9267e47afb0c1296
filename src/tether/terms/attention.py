"""Attention: how much each channel of the source matters to the target, which weighs DELTA's feature maps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether.errors import DataError
from tether.terms.base import parted
from tether.terms.checks import checked_layers
from tether.terms.taps import Tap, forward
from tether.terms.taps import layers as matching
from tether.terms.teacher import refuse_unless_frozen

Probe = Callable[[Tensor], Tensor]
SAMPLES = 256
"""How many samples go through the network at once where channels are silenced."""


def attention(
    teacher: nn.Module,
    probe: Probe,
    batches: Iterable[Sequence[Any]],
    layers: Sequence[str],
    *,
    head: str | None = None,
    axis: int = 1,
) -> dict[str, Float[Tensor, " channels"]]:
    r"""Return DELTA's weights by layer, $W_j=\mathrm{softmax}_j\bigl(L(w^0\setminus j)-L(w^0)\bigr)$.

    L is the cross entropy of the source's features under a linear probe that was trained on the target, and
    $w^0\setminus j$ the source whose channel j is zero (Li et al., ICLR 2019, section 3). The paper writes W for one
    sample; here the increases are averaged over all samples before the softmax, as the published code does. That code
    also standardises the increases r of a layer and divides them by 5, since those of single channels are small and
    their softmax is nearly equal: `((r - r.mean()) / r.std(correction=0) / 5).softmax(0)`, of what `increases` returns.

    Args:
        teacher: a frozen copy of the source.
        probe: from what the teacher's head is given to logits of the target's classes.
        batches: (inputs, labels) of the target.
        layers: names or shell globs.
        head: the layer whose input the probe reads; what the teacher tells is its classifier when not given.
        axis: of the channels.

    Raises:
        PlanError: the teacher is not frozen, or a layer cannot be looked at.
        NoParameterSelected: a name matches nothing.
        DataError: there is no sample, or a loss is not finite.

    >>> from tether.terms.teacher import frozen
    >>> source = frozen(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2)))
    >>> batches = [(torch.randn(6, 1, 3, 3), torch.tensor([0, 1, 2, 0, 1, 2]))]
    >>> attention(source, nn.Linear(4, 3), batches, ["0"])["0"].sum()
    tensor(1.)

    """
    found = increases(teacher, probe, batches, layers, head=head, axis=axis)
    return {name: values.softmax(0).float() for name, values in found.items()}


@torch.no_grad()
def increases(
    teacher: nn.Module,
    probe: Probe,
    batches: Iterable[Sequence[Any]],
    layers: Sequence[str],
    *,
    head: str | None = None,
    axis: int = 1,
) -> dict[str, Float[Tensor, " channels"]]:
    r"""Return $L(w^0\setminus j)-L(w^0)$ for every channel j by layer, in float64; all else is as in `attention`.

    A channel is silenced by setting to zero what its layer returns of it, which takes away a convolution's filter and
    its bias. That costs one forward pass of all samples for each channel of each layer, several channels at once on
    copies of the inputs.
    """
    refuse_unless_frozen(teacher)
    probed = _Probed(teacher, probe, Tap(head, "input"), axis)
    looked = {
        name: layer for glob in checked_layers("attention", layers) for name, layer in matching(teacher, glob).items()
    }
    totals: dict[str, Tensor] = {}
    count = 0
    for batch in batches:
        inputs, labels = parted(batch)
        if labels is None or not isinstance(inputs, Tensor) or not len(labels):
            raise DataError(
                "attention needs labels, and inputs that are one tensor",
                why="it measures how much the loss rises without a channel",
                fix="batches of (inputs, labels)",
            )
        count += len(labels)
        for name, layer in looked.items():
            totals[name] = totals.get(name, 0) + probed.rise(name, layer, inputs, labels)
    if not count:
        raise DataError(
            "the attention of no sample is not defined",
            why="it is a mean over samples, and `batches` holds none",
            fix="give at least one batch",
        )
    return {name: _finite(name, total / count) for name, total in totals.items()}


@dataclass(frozen=True, eq=False)
class _Probed:
    """The source with a probe for its head."""

    teacher: nn.Module
    probe: Probe
    features: Tap
    axis: int

    def losses(self, inputs: Tensor, labels: Tensor) -> Float[Tensor, " batch"]:
        """The cross entropy of each sample."""
        features = forward(self.teacher, inputs, [self.features]).one(self.features)
        return cross_entropy(self.probe(features).double(), labels.long(), reduction="none")

    def rise(self, name: str, layer: nn.Module, inputs: Tensor, labels: Tensor) -> Float[Tensor, " channels"]:
        """By how much each silenced channel of a layer raises the sum of the losses."""
        channels = forward(self.teacher, inputs, [Tap(name)]).one(Tap(name)).shape[self.axis]
        before = self.losses(inputs, labels)
        rises = []
        for chosen in torch.arange(channels, device=labels.device).split(max(1, SAMPLES // len(labels))):  # type: ignore[no-untyped-call]
            copies = inputs.repeat(len(chosen), *[1] * (inputs.ndim - 1))
            with _silenced(layer, chosen.repeat_interleave(len(labels)), self.axis):
                after = self.losses(copies, labels.repeat(len(chosen)))
            rises.append((after.view(len(chosen), -1) - before).sum(1))
        return torch.cat(rises)


@contextmanager
def _silenced(layer: nn.Module, channels: Tensor, axis: int) -> Iterator[None]:
    """Zero one channel of what the layer returns, for each sample its own."""

    def silence(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        silent = output.movedim(axis, 1).clone()
        silent[torch.arange(len(silent), device=silent.device), channels] = 0
        return silent.movedim(1, axis)

    handle = layer.register_forward_hook(silence)
    try:
        yield
    finally:
        handle.remove()


def _finite(name: str, values: Tensor) -> Tensor:
    if not values.isfinite().all():
        raise DataError(
            f"a channel of `{name}` raises the loss by what is not finite",
            why="the weights of a channel come from how much the loss rises without it",
            fix="a probe and inputs that are",
        )
    return values

"""Normalisation layers that keep running statistics, and holding these as they are while others train."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from tether.params.select import spelled


def norm_layers(model: nn.Module) -> dict[str, _NormBase]:
    """Every layer with running statistics by canonical name: batch norm of any kind, instance norm where it tracks.

    Its class tells, and not its name.

    >>> list(norm_layers(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.LayerNorm(2))))
    ['1']
    """
    spell = spelled(model)
    return {
        spell(name): layer
        for name, layer in model.named_modules()
        if isinstance(layer, _NormBase) and layer.running_mean is not None
    }


def hold_statistics(layers: Iterable[nn.Module]) -> list[RemovableHandle]:
    """Use and keep each layer's running statistics in every forward pass, whatever calls `model.train()`.

    >>> import torch
    >>> model = nn.BatchNorm1d(2)
    >>> handles = hold_statistics([model])
    >>> _ = model.train()(torch.ones(3, 2))
    >>> model.running_mean
    tensor([0., 0.])
    """
    return [layer.register_forward_pre_hook(_evaluate) for layer in layers]


def _evaluate(layer: nn.Module, inputs: Any) -> None:
    if layer.training:
        layer.eval()

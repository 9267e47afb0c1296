"""Statistics: whether the running statistics of the source's normalisation layers do as the policy says."""

from collections.abc import Iterator
from typing import Literal

import torch

from tether.audit.result import Row
from tether.binding import Tether
from tether.params.norms import norm_layers

BatchNorm = Literal["source", "update"]
SAID = {"source": "stay", "update": "move"}
FIXES = {
    "source": 'they move: layer.eval() after each model.train(), or batchnorm="update" if they are meant to',
    "update": 'they stay: the layer is in evaluation mode; layer.train(), or batchnorm="source" if it is meant to be',
}


class Statistics:
    """The running statistics of the anchor's layers, as they were before a pass of the model."""

    def __init__(self, leash: Tether) -> None:
        self.training = leash.model.training
        found = norm_layers(leash.model)
        self.layers = {name: found[name] for name in leash.anchor.norms if name in found}
        self.before = {
            name: [buffer.clone() for buffer in layer.buffers(recurse=False)] for name, layer in self.layers.items()
        }

    def rows(self, policy: BatchNorm) -> Iterator[Row]:
        """One row a layer, after the pass."""
        for name, layer in self.layers.items():
            pairs = zip(self.before[name], layer.buffers(recurse=False), strict=True)
            measured = "stay" if all(torch.equal(before, now) for before, now in pairs) else "move"
            if not self.training and measured == "stay":
                why = "the whole model is in evaluation mode: call model.train() as your loop does, then audit"
                yield Row("batchnorm", name, SAID[policy], measured, None, why)
            else:
                passed = measured == SAID[policy]
                yield Row("batchnorm", name, SAID[policy], measured, passed, "" if passed else FIXES[policy])

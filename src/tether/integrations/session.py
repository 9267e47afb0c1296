"""Session: a tether and its norms' statistics, held from the start of a trainer's run to its end."""

from typing import Any, Literal

from torch import nn
from torch.utils.hooks import RemovableHandle

from tether.binding import Tether
from tether.errors import SettingsError
from tether.membership import OwnDecay
from tether.params.norms import hold_statistics, norm_layers
from tether.penalties.plan import Metric, Via

BatchNorm = Literal["source", "update"]


class Session:
    """What both trainers' callbacks do between the start of a run and its end.

    Args:
        batchnorm: `source` keeps the running statistics of the source's normalisation layers as they are, `update`
            lets them move.

    Raises:
        SettingsError: there is no such policy.

    """

    def __init__(
        self,
        leash: Tether,
        *,
        batchnorm: BatchNorm = "source",
        via: Via | None = None,
        metric: Metric | None = None,
        own_decay: OwnDecay = "refuse",
    ) -> None:
        if batchnorm not in ("source", "update"):
            raise SettingsError(f"`batchnorm={batchnorm!r}`", fix='batchnorm="source" or batchnorm="update"')
        self.leash, self.batchnorm = leash, batchnorm
        self._how: dict[str, Any] = {"via": via, "metric": metric, "own_decay": own_decay}
        self._held: list[RemovableHandle] = []

    def begin(self, model: nn.Module, optimizer: Any) -> None:
        """Attach, and hold the statistics.

        Raises:
            AttachError: the tether and the optimiser do not fit.

        """
        self.end()
        self.leash.attach(optimizer, **self._how)
        if self.batchnorm == "source":
            layers = norm_layers(model)
            self._held = hold_statistics(layers[name] for name in self.leash.anchor.norms if name in layers)

    def end(self) -> None:
        """Detach, and let the statistics go."""
        self.leash.detach()
        for handle in self._held:
            handle.remove()
        self._held = []

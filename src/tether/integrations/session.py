"""Session: a tether and its norms' statistics, held from the start of a trainer's run to its end."""

from typing import Any, Literal

from torch import nn
from torch.utils.hooks import RemovableHandle

from tether.binding import Tether
from tether.errors import AttachError, SettingsError
from tether.membership import OwnDecay
from tether.params.norms import hold_statistics, norm_layers
from tether.params.select import parameters
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
            raise SettingsError(
                f"`batchnorm={batchnorm!r}`",
                why="running statistics are the source's, or are updated",
                fix='batchnorm="source" or batchnorm="update"',
            )
        self.leash, self.batchnorm = leash, batchnorm
        self._how: dict[str, Any] = {"via": via, "metric": metric, "own_decay": own_decay}
        self._held: list[RemovableHandle] = []

    def begin(self, model: nn.Module, optimizer: Any) -> None:
        """Attach, and hold the statistics.

        Raises:
            AttachError: the tether and the optimiser do not fit, or the tether is of another model.

        """
        self.end()
        layers = self._layers(model)
        self.leash.attach(optimizer, **self._how)
        self._held = hold_statistics(layers)

    def end(self) -> None:
        """Detach, and let the statistics go."""
        self.leash.detach()
        for handle in self._held:
            handle.remove()
        self._held = []

    def _layers(self, model: nn.Module) -> list[nn.Module]:
        """The layers to hold, by their names in the module that the tether is of: it may lie within `model`."""
        if self.batchnorm == "update" or not self.leash.anchor.norms:
            return []
        within = next((module for module in model.modules() if _is_of(self.leash, module)), None)
        if within is None:
            raise AttachError(
                "the tether was made of another model than the trainer's, or the model was changed since",
                why="the layers whose running statistics are the source's are not found in it",
                fix="make the tether of the trainer's own model, or of a module within it, after its last change",
            )
        layers = norm_layers(within)
        return [layers[name] for name in self.leash.anchor.norms if name in layers]


def _is_of(leash: Tether, module: nn.Module) -> bool:
    found = parameters(module)
    return found.keys() == leash.parameters.keys() and all(found[name] is p for name, p in leash.parameters.items())

"""Slot: a tensor of the target model that a source tensor can go into."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tether.errors import MatchError
from tether.escaping import terminal
from tether.params.norms import norm_layers
from tether.params.select import spelled


@dataclass(frozen=True, eq=False)
class Slot:
    """A parameter or a persistent buffer, under the first of its names."""

    name: str
    tensor: Tensor
    is_buffer: bool

    @property
    def leaf(self) -> str:
        """The last component of the name."""
        return leaf(self.name)


def leaf(name: str) -> str:
    """Return the last component of a dotted name.

    >>> leaf("layer1.0.bn1.weight")
    'weight'
    """
    return name.rpartition(".")[2]


def slots(model: nn.Module) -> dict[str, Slot]:
    """Every name of the state dict, in its order; the names of a tied tensor share one slot.

    Raises:
        MatchError: the model has no parameters, or some have no values yet (lazy, or on the meta device).

    >>> list(slots(nn.BatchNorm1d(2)))
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """
    parameters = {id(p) for p in model.parameters()}
    owned = parameters | {id(b) for b in model.buffers()}
    found: dict[int, Slot] = {}
    names: dict[str, Slot] = {}
    spell = spelled(model)
    for key, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) in owned:  # a quantised layer also saves tensors that are neither parameter nor buffer
            name = spell(key)
            names[name] = found.setdefault(id(tensor), Slot(name, tensor, id(tensor) not in parameters))
    _refuse_hollow(names)
    return names


def _refuse_hollow(names: Mapping[str, Slot]) -> None:
    if all(slot.is_buffer for slot in names.values()):
        raise MatchError(
            "the target model has no parameters",
            why="there is nothing to copy into and nothing to hold",
            fix="give the model that is to be trained",
        )
    hollow = [name for name, slot in names.items() if is_lazy(slot.tensor) or slot.tensor.is_meta]
    if hollow:
        raise MatchError(
            f"{len(hollow)} tensors of the target model have no values yet, the first is `{terminal(hollow[0])}`",
            why="they are lazy or on the meta device, so copying into them would do nothing",
            fix="build the model on a real device, and run one batch through a lazy one, before the transfer",
        )


@dataclass(frozen=True)
class Norm:
    """A normalisation layer with running statistics: its name, and the slots of its weights and of its statistics."""

    name: str
    weights: tuple[str, ...]
    statistics: tuple[str, ...]


def norms(model: nn.Module, names: Mapping[str, Slot]) -> list[Norm]:
    """Every layer of `model` that keeps running statistics: batch norm of any kind, instance norm where it tracks."""
    of = {id(slot.tensor): slot.name for slot in names.values()}
    return [
        Norm(
            name,
            tuple(of[id(p)] for p in layer.parameters(recurse=False)),
            tuple(of[id(b)] for b in (layer.running_mean, layer.running_var) if b is not None),
        )
        for name, layer in norm_layers(model).items()
    ]

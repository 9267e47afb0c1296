"""References: the tensors that pulls are measured from, each checkpoint read once."""

from pathlib import Path

import torch
from torch import Tensor, nn

from tether.anchor import Anchor, verify
from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.resolve import load
from tether.errors import CheckpointError, PlanError
from tether.params.select import canonical
from tether.params.shards import local, whole
from tether.penalties.plan import Role
from tether.penalties.pull import SOURCE, ZERO, Pull, Reference, Weights
from tether.registry import did_you_mean
from tether.sharding import cut


class References:
    """What the references of a plan stand for, for one model."""

    def __init__(self, anchor: Anchor) -> None:
        self.anchor = anchor
        self.files: dict[Path, str] = dict(anchor.files)
        self._read: dict[str | Weights, Weights] = {}

    def find(self, pull: Pull, name: str, parameter: nn.Parameter, role: Role) -> Tensor | None:
        """The reference of one parameter, of all its rows; None where that is zero.

        Of a sharded parameter it is the part that lies where this process's part of the parameter does.

        Raises:
            PlanError: the reference is no checkpoint that can be read, lacks the parameter or has it in another shape,
                or is the random start of a new parameter.

        """
        if pull.reference == ZERO:
            return None
        if pull.reference == SOURCE:
            return cut(_apart(self.anchor.references[name], parameter), parameter)
        weights = self._weights(pull.reference)
        found = weights.tensors.get(name)
        if found is None or found.shape != parameter.shape:
            what = "has no" if found is None else f"has {tuple(found.shape)} for"
            raise PlanError(
                f"`{pull!r}`: {weights.name} {what} `{name}` of {tuple(parameter.shape)}",
                why="a parameter is held to a value of its own name and shape",
                fix=f"a checkpoint of this model, or overrides={{{name!r}: None}}",
            )
        if role == "new" and _same(found, parameter, self.anchor.new.get(name)):
            raise PlanError(
                f"`{pull!r}` would hold the new parameter `{name}` to its own start",
                why="that is random and means nothing: a new parameter is held to zero, to another model's, or not",
                fix=f'overrides={{{name!r}: L2(…).toward("zero")}} or None',
            )
        return cut(_apart(found.detach(), parameter), parameter)

    def verify(self) -> None:
        """Check that no mapped file has changed since it was read.

        Raises:
            MatchError: one has.

        """
        verify(self.files)

    def _weights(self, reference: Reference) -> Weights:
        if reference not in self._read:
            if isinstance(reference, str):
                checkpoint = _checkpoint(reference)
                self.files |= checkpoint.files if checkpoint.mapped else {}
                tensors, called = checkpoint.tensors, f"`{reference}`"
            else:
                tensors, called = reference.tensors, reference.name
            bare = {canonical(name): tensor for name, tensor in tensors.items()}
            self._read[reference] = Weights({**bare, **tensors}, called)
        return self._read[reference]


def _same(found: Tensor, parameter: nn.Parameter, new: Tensor | None) -> bool:
    start, found = whole(parameter.detach()), whole(found)
    if new is not None:
        start, found = start[new.to(start.device)], found[new.to(found.device)]
    return torch.equal(found.to(start), start) and bool(start.any())


def _apart(found: Tensor, parameter: nn.Parameter) -> Tensor:
    """A copy where the reference is the parameter's own memory, and would move with it."""
    theirs, ours = local(found).untyped_storage(), local(parameter.detach()).untyped_storage()
    return found.clone() if ours.nbytes() and theirs.data_ptr() == ours.data_ptr() else found


def _checkpoint(reference: str) -> Checkpoint:
    try:
        return load(reference)
    except CheckpointError as error:
        raise PlanError(
            f'`toward("{reference}")`: {error.what}',
            why=error.why,
            fix=f"{did_you_mean(reference, (SOURCE, ZERO))}; or the path of a checkpoint",
        ) from None

"""Held: one parameter, or some of its rows, with its pull and what it is held to."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from tether.penalties.base import Pull
from tether.penalties.plan import Role


@dataclass(eq=False)
class Held:
    """A parameter under a pull; `rows` where only those are meant, `reference` None where that is zero.

    `copied` says that the reference follows the parameter to another device or dtype in a copy of its own.
    """

    name: str
    role: Role
    parameter: nn.Parameter
    pull: Pull
    reference: Tensor | None
    rows: Int[Tensor, " rows"] | None = None
    copied: bool = False

    @property
    def key(self) -> str:
        """The name, with the role where the two parts of one parameter need telling apart."""
        return self.name if self.rows is None else f"{self.name}[{self.role}]"

    def weight(self) -> Tensor:
        """The held values, the parameter's own memory unless only some rows are held."""
        whole = self.parameter.detach()
        return whole if self.rows is None else whole[self._rows()]

    def gradient(self) -> Tensor:
        """The gradient of the held values, likewise."""
        grad = self.parameter.grad
        assert grad is not None
        return grad.detach() if self.rows is None else grad.detach()[self._rows()]

    def displacement(self) -> Tensor:
        """δ = w − reference, differentiable in the parameter, in float32 where the parameter is narrower."""
        weight = self.parameter if self.rows is None else self.parameter[self._rows()]
        reference = self.aligned()
        if weight.dtype.itemsize < 4:
            weight, reference = weight.float(), None if reference is None else reference.float()
        return weight if reference is None else weight - reference

    def aligned(self) -> Tensor | None:
        """The reference on the parameter's device and in its dtype, moved once when the parameter has moved."""
        if self.reference is not None and (
            self.reference.device != self.parameter.device or self.reference.dtype != self.parameter.dtype
        ):
            self.reference, self.copied = self.reference.to(self.parameter), True
        return self.reference

    def _rows(self) -> Tensor:
        assert self.rows is not None
        if self.rows.device != self.parameter.device:
            self.rows = self.rows.to(self.parameter.device)
        return self.rows


def alike(held: Iterable[tuple[Held, Hashable]]) -> list[tuple[list[Held], Hashable]]:
    """Put together what one call can act on: the same penalty, referenced or not, and the same `Hashable`."""
    buckets: dict[Hashable, tuple[list[Held], Hashable]] = {}
    for part, what in held:
        buckets.setdefault((part.pull.penalty, part.reference is None, what), ([], what))[0].append(part)
    return list(buckets.values())


@torch.no_grad()
def add_gradient_(parts: Sequence[Held], scale: float | Tensor = 1.0) -> None:
    """Add scale · ∇Ω to the gradients of parts that are `alike`."""
    grads = [part.gradient() for part in parts]
    parts[0].pull.penalty.add_gradient_(grads, [part.weight() for part in parts], _references(parts), scale)
    for part, grad in zip(parts, grads, strict=True):
        if part.rows is not None and part.parameter.grad is not None:
            part.parameter.grad.index_copy_(0, part._rows(), grad)


@torch.no_grad()
def prox_(parts: Sequence[Held], step: float | Tensor) -> None:
    """Apply the proximal map of step · Ω to the weights of parts that are `alike`."""
    weights = [part.weight() for part in parts]
    parts[0].pull.penalty.prox_(weights, _references(parts), step)
    for part, weight in zip(parts, weights, strict=True):
        if part.rows is not None:
            part.parameter.detach().index_copy_(0, part._rows(), weight)


def _references(parts: Sequence[Held]) -> list[Tensor] | None:
    found = [part.aligned() for part in parts]
    return None if found[0] is None else [reference for reference in found if reference is not None]

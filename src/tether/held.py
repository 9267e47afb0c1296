"""Held: one parameter, or some of its rows, with its pull and what it is held to."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tether.errors import AttachError
from tether.params.shards import local, sharded, whole
from tether.penalties.base import Penalty
from tether.penalties.plan import Role
from tether.penalties.pull import Pull
from tether.sharding import cut, cut_rows, on_shard, place_gradient_, total


@dataclass(eq=False)
class Held:
    """A parameter under a pull; `rows` where only those are meant, `reference` None where that is zero.

    `penalty` is the pull's as it is on this parameter. `copied` says that the reference follows the parameter to
    another device or dtype in a copy of its own. Of a sharded parameter each process pulls its own part, the `shard`,
    to the `reference` of that part, by the `shard_penalty`; what is not said to be of the shard is of the whole.

    Raises:
        PlanError: the penalty does not fit the parameter.

    """

    name: str
    role: Role
    parameter: nn.Parameter
    pull: Pull
    reference: Tensor | None
    rows: Int[Tensor, " rows"] | None = None
    copied: bool = False
    penalty: Penalty = field(init=False)
    shard_penalty: Penalty = field(init=False)
    _own_rows: Tensor | None = field(init=False)
    _near: Tensor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        outline = self.parameter.detach()
        self._own_rows = self.rows
        if sharded(outline):
            outline = local(outline).new_empty(()).expand(self.parameter.shape)
            self._own_rows = None if self.rows is None else _cut_rows(self.rows, self.parameter)
        self.penalty = self.shard_penalty = self.pull.penalty.on(self.name, outline, self.rows)
        if sharded(self.parameter):
            uncut = self.pull.penalty.on(self.name, outline)
            self.shard_penalty = on_shard(
                uncut, self.name, self.parameter, lambda t: self.of_rows(cut(t, self.parameter))
            )

    @property
    def key(self) -> str:
        """The name, with the role where the two parts of one parameter need telling apart."""
        return self.name if self.rows is None else f"{self.name}[{self.role}]"

    @property
    def numel(self) -> int:
        """How many values are held."""
        count = self.parameter.numel()
        return count if self.rows is None else count // self.parameter.shape[0] * len(self.rows)

    def weight(self) -> Tensor:
        """The held values, gathered from all processes where the parameter is sharded."""
        found = whole(self.parameter.detach())
        return found if self.rows is None else found[self.rows.to(found.device)]

    def shard(self) -> Tensor:
        """The values held in this process, the parameter's own memory unless only some rows are held."""
        return self.of_rows(self.parameter.detach())

    def of_rows(self, tensor: Tensor) -> Tensor:
        """What belongs to the values held here in a tensor of the parameter's shape, sharded as it is or its shard."""
        here = local(tensor)
        return here if self.rows is None else here[self._rows().to(here.device)]

    def value(self) -> Float[Tensor, ""]:
        """Ω(δ), differentiable in the parameter."""
        return total([(self.share(), self.parameter)])

    def share(self) -> Float[Tensor, ""]:
        """What the shard adds to Ω(δ), likewise."""
        delta = self.displacement()
        return self.shard_penalty.value(delta) if delta.numel() else delta.sum()

    def gradient(self) -> Tensor:
        """The gradient of the shard, its own memory unless only some rows are held."""
        place_gradient_(self.parameter)
        grad = self.parameter.grad
        assert grad is not None
        return self.of_rows(grad.detach())

    def displacement(self) -> Tensor:
        """δ = w − reference of the shard, differentiable, in float32 where the parameter is narrower."""
        weight = self.of_rows(self.parameter)
        reference = self.aligned()
        if weight.dtype.itemsize < 4:
            weight, reference = weight.float(), None if reference is None else reference.float()
        return weight if reference is None else weight - reference

    def aligned(self) -> Tensor | None:
        """The reference on the parameter's device and in its dtype, moved once when the parameter has moved."""
        kind = (self.parameter.device, self.parameter.dtype)
        if self.reference is None or (self.reference.device, self.reference.dtype) == kind:
            return self.reference
        if self._near is None or (self._near.device, self._near.dtype) != kind:
            self._near, self.copied = self.reference.to(*kind), True
        return self._near

    def _rows(self) -> Tensor:
        assert self._own_rows is not None
        if self._own_rows.device != self.parameter.device:
            self._own_rows = self._own_rows.to(self.parameter.device)
        return self._own_rows


def alike(held: Iterable[tuple[Held, Hashable]]) -> list[tuple[list[Held], Hashable]]:
    """Put together what one call can act on: the same penalty, referenced or not, and the same `Hashable`."""
    buckets: dict[Hashable, tuple[list[Held], Hashable]] = {}
    for part, what in held:
        buckets.setdefault((part.shard_penalty, part.reference is None, what), ([], what))[0].append(part)
    return list(buckets.values())


@torch.no_grad()
def add_gradient_(parts: Sequence[Held], scale: float | Tensor = 1.0) -> None:
    """Add scale · ∇Ω to the gradients of parts that are `alike`; where a gradient is sparse, to the rows that have one.

    Raises:
        AttachError: a gradient is sparse, and the penalty holds rows together.

    """
    dense = [part for part in parts if part.parameter.grad is not None and not part.parameter.grad.is_sparse]
    dense, weights = _filled(dense)
    if dense:
        grads = [part.gradient() for part in dense]
        dense[0].shard_penalty.add_gradient_(grads, weights, _references(dense), scale)
        for part, grad in zip(dense, grads, strict=True):
            if part.rows is not None and part.parameter.grad is not None:
                local(part.parameter.grad).index_copy_(0, part._rows(), grad)
    for part in parts:
        if part.parameter.grad is not None and part.parameter.grad.is_sparse:
            _add_sparse_gradient_(part, scale)


def _add_sparse_gradient_(part: Held, scale: float | Tensor) -> None:
    grad = part.parameter.grad
    assert grad is not None
    if not part.penalty.elementwise:
        raise AttachError(
            f"`{part.penalty!r}` cannot act on `{part.name}`, whose gradient is sparse",
            why="it holds rows together, and only some of them have a gradient",
            fix=f"sparse=False in the embedding, or overrides={{{part.name!r}: L2(…)}}",
        )
    part.parameter.grad = grad = grad.coalesce()
    rows, values, reference = grad.indices()[0], grad.values(), part.aligned()
    at = torch.arange(len(rows), device=rows.device)
    where = rows
    if part.rows is not None:
        at = torch.isin(rows, part._rows()).nonzero().flatten()
        rows = rows[at]
        where = torch.searchsorted(part._rows(), rows)
    penalty = part.pull.penalty.on(part.name, part.parameter.detach(), rows)
    added, weight = values[at], part.parameter.detach()[rows]
    penalty.add_gradient_([added], [weight], None if reference is None else [reference[where]], scale)
    values.index_copy_(0, at, added)


@torch.no_grad()
def prox_(parts: Sequence[Held], step: float | Tensor) -> None:
    """Apply the proximal map of step · Ω to the weights of parts that are `alike`.

    Raises:
        AttachError: a gradient is sparse.

    """
    for part in parts:
        if part.parameter.grad is not None and part.parameter.grad.is_sparse:
            raise AttachError(
                f"the gradient of `{part.name}` is sparse",
                why="the prox would act on every row, also on those without a gradient, which torch does not step",
                fix='via="gradient", which acts on the rows that have one; or sparse=False in the embedding',
            )
    filled, weights = _filled(parts)
    if filled:
        filled[0].shard_penalty.prox_(weights, _references(filled), step)
        for part, weight in zip(filled, weights, strict=True):
            if part.rows is not None:
                local(part.parameter.detach()).index_copy_(0, part._rows(), weight)


def _filled(parts: Sequence[Held]) -> tuple[list[Held], list[Tensor]]:
    """The parts of which this process holds something, and what it holds."""
    found = [(part, weight) for part in parts if (weight := part.shard()).numel()]
    return [part for part, _ in found], [weight for _, weight in found]


def _cut_rows(rows: Tensor, parameter: Tensor) -> Tensor:
    """Of the indices of some rows those that this process has, counted from its own first."""
    mask = torch.zeros(parameter.shape[0], dtype=torch.bool, device=rows.device)
    mask[rows] = True
    return cut_rows(mask, parameter).nonzero().flatten()


def _references(parts: Sequence[Held]) -> list[Tensor] | None:
    found = [part.aligned() for part in parts]
    return None if found[0] is None else [reference for reference in found if reference is not None]

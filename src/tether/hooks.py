"""Attachment: a tether's pulls, made to act once in every step of an optimiser."""

import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from tether.errors import AttachError, DoubleDecay, HooksLost
from tether.gathering import Gathering
from tether.guard import few, guard, guarded, held_elsewhere, release
from tether.held import Held, add_gradient_, alike, prox_
from tether.penalties.plan import Via
from tether.stepsize import Step, effective_step

Group = dict[str, Any]


def unwrap(optimizer: Any) -> Optimizer:
    """The torch optimiser inside Accelerate's or Fabric's wrapper, whose own hooks never fire.

    Raises:
        AttachError: there is none.

    """
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    if not isinstance(optimizer, Optimizer):
        raise AttachError(
            f"`{type(optimizer).__name__}` is not a torch optimiser",
            why="a tether acts through the step hooks of `torch.optim.Optimizer`",
            fix="attach to the optimiser that it wraps",
        )
    return optimizer


class Attachment:
    """The pulls of a tether on one optimiser, from its making until `detach`.

    Args:
        held: the parts that the plan holds.
        via: `gradient` adds ∇Ω before the step, after any clipping, as `weight_decay` does; `prox` acts after the step.
        own_decay: `refuse` raises where the optimiser's own decay acts on a held parameter, `replace` sets it to zero.
        step: the effective step of a parameter group, where the table of `stepsize` has none.
        label: the plan in words, kept in the parameter groups.

    Raises:
        AttachError: a held parameter is in no group, or the optimiser has a tether already.
        DoubleDecay: the optimiser's own decay would add to the plan's.
        UnknownStep: `prox`, and no effective step is known.
        PullBelowPrecision: a pull would round to nothing even when gathered over 1,000 steps.

    """

    def __init__(
        self,
        held: Sequence[Held],
        optimizer: Any,
        *,
        via: Via,
        own_decay: Literal["refuse", "replace"] = "refuse",
        step: Step | float | None = None,
        label: str = "",
    ) -> None:
        optimizer = unwrap(optimizer)
        self.held, self.via, self.label = tuple(held), via, label
        self.optimizer = weakref.ref(optimizer)
        self.seen, self.acted, self._waiting, self.skipped = 0, 0, 0, torch.zeros(())
        self.gathering = Gathering()
        self._by_id: dict[int, list[Held]] = {}
        for part in self.held:
            self._by_id.setdefault(id(part.parameter), []).append(part)
        self._refuse(optimizer)
        self._step = effective_step(optimizer, step) if via == "prox" else None
        decaying = self._decaying(optimizer, own_decay)
        for group, part in self._parts(optimizer):
            self._settle(group, part)
        self.replaced = [_replace_decay(group, parts) for group, parts in decaying]
        self._groups = _members(optimizer)
        self._handles = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]
        guard(optimizer, self)

    def detach(self) -> None:
        """Deliver what is gathered and stop acting."""
        self.flush()
        for handle in self._handles:
            handle.remove()
        optimizer = self.optimizer()
        if optimizer is not None:
            release(optimizer)

    @property
    def lost(self) -> bool:
        """Whether the pulls cannot be acting any more: the optimiser is gone, or its hooks were removed."""
        optimizer = self.optimizer()
        before, after = self._handles
        return (
            optimizer is None
            or before.id not in optimizer._optimizer_step_pre_hooks
            or after.id not in optimizer._optimizer_step_post_hooks
        )

    def again(self) -> "Attachment":
        """The same attachment anew, after a `detach`."""
        return Attachment(self.held, self.optimizer(), via=self.via, step=self._step, label=self.label)

    def check(self) -> None:
        """Raise where the pulls cannot be acting any more.

        Raises:
            HooksLost: the optimiser is gone, or its hooks were removed.

        """
        if self.lost:
            raise HooksLost(
                "this tether's optimiser is gone or has lost its hooks",
                why="a copied, unpickled or rebuilt optimiser has no hooks, and its steps are not pulled",
                fix="leash.detach(), then leash.attach(the optimiser that trains)",
            )

    def flush(self) -> None:
        """Apply every gathered pull now; call it before a save or an evaluation in a loop of your own."""
        self._deliver(self.gathering.take())

    def _refuse(self, optimizer: Optimizer) -> None:
        inside = [p for group in optimizer.param_groups for p in group["params"]]
        ids = {id(p) for p in inside}
        missing = [part.name for part in self.held if part.parameter.requires_grad and id(part.parameter) not in ids]
        if missing:
            raise AttachError(
                f"{len(missing)} held parameters are in no group of this optimiser: {few(missing)}",
                why="they would not be pulled; `fully_shard` and some wrappers put new Parameters in place of the old",
                fix="make the tether after the model is final, and give the optimiser all trainable parameters",
            )
        if guarded(optimizer):
            raise AttachError("this optimiser has a tether already", fix="leash.detach() the other one first")
        twice = held_elsewhere(p for p in inside if id(p) in self._by_id)
        if twice:
            raise AttachError(
                f"{len(twice)} parameters are pulled by another attached tether: {few(twice)}",
                fix="detach() that one first",
            )

    def _decaying(self, optimizer: Optimizer, own_decay: str) -> list[tuple[Group, list[Held]]]:
        found = [(group, list(self._in(group))) for group in optimizer.param_groups if group.get("weight_decay")]
        found = [(group, parts) for group, parts in found if parts]
        if found and own_decay != "replace":
            group, parts = found[0]
            raise DoubleDecay(
                f"{type(optimizer).__name__}'s own weight_decay={group['weight_decay']} acts on held parameters: "
                f"{few([part.name for part in parts])}",
                why="both would pull, and the weights would settle between their two references",
                fix='weight_decay=0 in the optimiser, or attach(..., own_decay="replace")',
            )
        return found

    def _settle(self, group: Group, part: Held) -> None:
        if self._step is not None:
            rates = [float(group[key]) for key in ("lr", "initial_lr", "max_lr") if key in group]
            peak = {**group, "lr": max(rates, default=0.0)}
            self.gathering.settle(part, float(self._step(peak)))

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._refuse_changes(optimizer)
        if self.via == "prox":
            return None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._add_gradients(optimizer)
            return None
        objective = self._objective(closure, optimizer)
        if len(args) > 1:
            return (args[0], objective, *args[2:]), kwargs
        return args, {**kwargs, "closure": objective}

    def _objective(self, closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
        """A closure zeroes and fills the gradients itself, so ours are added after it, and our value to its loss."""

        @torch.enable_grad()
        def objective() -> Any:
            loss = closure()
            self._add_gradients(optimizer)
            if loss is None:
                return None
            with torch.no_grad():
                acting = self._acting(optimizer)
                return loss + sum(_sign(group) * part.pull.penalty.value(part.displacement()) for group, part in acting)

        return objective

    def _add_gradients(self, optimizer: Optimizer) -> None:
        factor = getattr(optimizer, "grad_scale", None)  # a fused step under GradScaler divides by it
        signed: list[tuple[Held, Hashable]] = [(part, _sign(group)) for group, part in self._acting(optimizer)]
        for parts, sign in alike(signed):
            assert isinstance(sign, float)
            add_gradient_(parts, sign if factor is None else factor * sign)

    def _after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.seen += 1
        acting = self._acting(optimizer)
        if not acting:
            return
        self._waiting += 1
        skip = getattr(optimizer, "found_inf", None)  # a fused step under GradScaler changes nothing where it is 1
        if skip is not None:
            skip = skip.detach().reshape(())
            self.skipped = self.skipped.to(skip.device) + skip
        if self._step is None:
            self._count()
            return
        steps: dict[int, float | Tensor] = {}
        due = []
        for group, part in acting:
            if id(group) not in steps:
                step = self._step(group)
                steps[id(group)] = step if skip is None else step * (1 - skip)
            due.append((part, self.gathering.collect(part, steps[id(group)])))
        self._deliver(due)

    def _deliver(self, due: Sequence[tuple[Held, float | Tensor]]) -> None:
        due = [(part, step) for part, step in due if isinstance(step, Tensor) or step > 0]
        if due:
            _apply(due)
            self._count()

    def _count(self) -> None:
        """The steps that waited for a delivery have acted with it."""
        self.acted += self._waiting
        self._waiting = 0

    def _refuse_changes(self, optimizer: Optimizer) -> None:
        if _members(optimizer) != self._groups:
            raise AttachError(
                "the optimiser's parameters or groups have changed since its tether was attached",
                why="nothing says how what is there now is held",
                fix="leash.detach(), then leash.attach(optimizer) again",
            )
        for group in optimizer.param_groups:
            if group.get("weight_decay") and next(self._in(group), None) is not None:
                raise DoubleDecay(
                    f"the optimiser's weight_decay became {group['weight_decay']} after its tether was attached",
                    why="both would pull on the same parameters",
                    fix="set it to 0 again",
                )

    def _acting(self, optimizer: Optimizer) -> list[tuple[Group, Held]]:
        """The parts with a gradient: without one torch does not step a parameter, and it is not pulled."""
        return [(group, part) for group, part in self._parts(optimizer) if _has_gradient(part)]

    def _parts(self, optimizer: Optimizer) -> Iterator[tuple[Group, Held]]:
        for group in optimizer.param_groups:
            for part in self._in(group):
                yield group, part

    def _in(self, group: Group) -> Iterator[Held]:
        for p in group["params"]:
            yield from self._by_id.get(id(p), ())


def _sign(group: Group) -> float:
    return -1.0 if group.get("maximize") else 1.0


def _members(optimizer: Optimizer) -> list[list[int]]:
    return [[id(p) for p in group["params"]] for group in optimizer.param_groups]


def _replace_decay(group: Group, parts: Sequence[Held]) -> str:
    decay, group["weight_decay"] = group["weight_decay"], 0.0
    held = {id(part.parameter) for part in parts}
    others = len(group["params"]) - len(held)
    also = f" and of {others} that the plan leaves free" if others else ""
    return f"the optimiser's own weight_decay={decay} of {len(held)} held parameters{also} was set to 0"


def _has_gradient(part: Held) -> bool:
    grad = part.parameter.grad
    if grad is not None and grad.layout != torch.strided:
        raise AttachError(
            f"the gradient of `{part.name}` is sparse",
            why="a pull acts on every row, also on those without a gradient",
            fix="sparse=False in the embedding, or leave it free in the plan",
        )
    return grad is not None


def _apply(due: Sequence[tuple[Held, float | Tensor]]) -> None:
    steps: dict[Hashable, float | Tensor] = {}
    keyed: list[tuple[Held, Hashable]] = []
    for part, step in due:
        key: Hashable = (id(step), part.parameter.device) if isinstance(step, Tensor) else step
        steps[key] = step
        keyed.append((part, key))
    for parts, key in alike(keyed):
        prox_(parts, steps[key])

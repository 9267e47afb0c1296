"""Attachment: a tether's pulls, made to act once in every step of an optimiser."""

import sys
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tether.errors import HooksLost
from tether.gathering import Gathering
from tether.guard import guard, release
from tether.held import Held, add_gradient_, alike, prox_
from tether.membership import Group, Membership, OwnDecay
from tether.metric import metric as metric_of
from tether.penalties.plan import Metric, Via
from tether.stepsize import Step, effective_step
from tether.unwrap import unwrap

Due = tuple[Held, float | Tensor]
HOOKED = sys.modules[Optimizer.__module__].__file__
"""Where torch wraps a step in its hooks."""


class Attachment:
    """The pulls of a tether on one optimiser, from its making until `detach`.

    Args:
        held: the parts that the plan holds.
        via: `gradient` adds ∇Ω before the step, after any clipping, as `weight_decay` does; `prox` acts after the step.
        metric: `optimizer` gives the prox the step that the optimiser took for each value.
        own_decay: `refuse` raises where the optimiser's own decay acts on a held parameter, `replace` sets it to zero.
        step: the effective step of a parameter group, where the table of `stepsize` has none.
        label: the plan in words, kept in the parameter groups.
        start: steps taken before, from which schedules go on.

    Raises:
        AttachError: a held parameter is in no group, or the optimiser has a tether already.
        DoubleDecay: the optimiser's own decay would add to the plan's.
        UnknownStep: `prox`, and no effective step, or no metric, is known.
        PullBelowPrecision: a pull would round to nothing even when gathered over 1,000 steps.

    """

    def __init__(
        self,
        held: Sequence[Held],
        optimizer: Any,
        *,
        via: Via,
        metric: Metric = "identity",
        own_decay: OwnDecay = "refuse",
        step: Step | float | None = None,
        label: str = "",
        start: int = 0,
    ) -> None:
        optimizer = unwrap(optimizer)
        self.held, self.via, self.metric, self.label, self.start = tuple(held), via, metric, label, start
        self.optimizer = weakref.ref(optimizer)
        self.seen = 0
        self.acted: int | Tensor = 0
        self._waiting: int | Tensor = 0
        self.gathering = Gathering()
        self.membership = Membership(self.held, optimizer, own_decay)
        own = via == "prox" and metric == "optimizer"
        self._metric = metric_of(optimizer) if own else None
        self._step = effective_step(optimizer, step) if via == "prox" and not own else None
        for group, part in self.membership.parts(optimizer):
            self._settle(group, part)
        self.replaced = self.membership.replace_decay()
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
        return Attachment(
            self.held,
            self.optimizer(),
            via=self.via,
            metric=self.metric,
            step=self._step,
            label=self.label,
            start=self.start + self.seen,
        )

    def state(self) -> dict[str, Any]:
        """What is gathered, and how many steps wait for its delivery."""
        gathering = self.gathering
        return {"gathered": gathering.saved(), "settled": gathering.settled(), "waiting": int(self._waiting)}

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Count from a tether's saved state, with what was gathered there."""
        self.start, self.seen, self.acted, self._waiting = state["seen"], 0, 0, state.get("waiting", 0)
        self.gathering.restore(self.held, state.get("gathered", {}), state.get("settled", {}))

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

    def _settle(self, group: Group, part: Held) -> None:
        if self._step is not None:
            rates = [float(group[key]) for key in ("lr", "initial_lr", "max_lr") if group.get(key) is not None]
            peak = {**group, "lr": max(rates, default=0.0)}
            self.gathering.settle(part, float(self._step(peak)))
        elif self._metric is not None:
            self.gathering.settle(part, 0.0)  # what the optimiser's steps will be is not known yet

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _nested(optimizer):
            return None
        self.membership.refuse_changes(optimizer)
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
                acting = self.membership.acting(optimizer)
                values = [_sign(group) * self.factor(part) * part.value() for group, part in acting]
                return loss + sum(values)

        return objective

    def _add_gradients(self, optimizer: Optimizer) -> None:
        scale = getattr(optimizer, "grad_scale", None)  # a fused step under GradScaler divides by it
        acting = self.membership.acting(optimizer)
        signed: list[tuple[Held, Hashable]] = [(part, _sign(group) * self.factor(part)) for group, part in acting]
        for parts, factor in alike(signed):
            assert isinstance(factor, float)
            add_gradient_(parts, factor if scale is None else scale * factor)

    def factor(self, part: Held) -> float:
        """By what its schedule multiplies a part's strength in the step to come."""
        return part.pull.schedule.factor(self.start + self.seen)

    def _after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if _nested(optimizer):
            return
        acting = self.membership.acting(optimizer)
        skip = getattr(optimizer, "found_inf", None)  # a fused step under GradScaler changes nothing where it is 1
        if acting:
            skip = None if skip is None else skip.detach().reshape(())
            self._waiting = self._waiting + (1 if skip is None else (skip == 0).long())
            if self.via == "gradient":
                self._count()
            else:
                self._deliver(self._collect(optimizer, acting, skip))
        self.seen += 1

    def _collect(self, optimizer: Optimizer, acting: Sequence[tuple[Group, Held]], skip: Tensor | None) -> list[Due]:
        steps: dict[Hashable, float | Tensor] = {}
        due = []
        for group, part in acting:
            factor = self.factor(part)
            key = (id(group), factor) if self._step is not None else part
            if key not in steps:
                step = self._taken(optimizer, group, part)
                step = step if factor == 1 else factor * step
                steps[key] = step if skip is None else _unless(skip, step)
            due.append((part, self.gathering.collect(part, steps[key])))
        return due

    def _taken(self, optimizer: Optimizer, group: Group, part: Held) -> float | Tensor:
        """The step that the optimiser took: one for a group, or in its metric one for each value."""
        if self._step is not None:
            return self._step(group)
        assert self._metric is not None
        return part.of_rows(self._metric(group, optimizer.state[part.parameter]))

    def _deliver(self, due: Sequence[Due]) -> None:
        due = [(part, step) for part, step in due if isinstance(step, Tensor) or step > 0]
        if due:
            _apply(due)
            self._count([step for _, step in due])

    def _count(self, due: Sequence[float | Tensor] = (1.0,)) -> None:
        """The steps that waited for a delivery have acted with it; a tensor tells on its device if there was one."""
        tensors = [step for step in due if isinstance(step, Tensor)]
        came: int | Tensor = 1
        if len(tensors) == len(due):
            came = torch.stack([(step > 0).any().to(tensors[0].device) for step in tensors]).any().long()
        self.acted = self.acted + self._waiting * came
        self._waiting = self._waiting * (1 - came)


def _nested(optimizer: Optimizer) -> bool:
    """Whether this is the step of a parent, called by its subclass's: torch may have given hooks to both.

    The stack tells, and no count that a step which raises would leave behind.
    """
    frame: FrameType | None = sys._getframe(1)
    steps = 0
    while frame is not None and steps < 2:
        code = frame.f_code
        if code.co_filename == HOOKED and code.co_name == "wrapper":
            steps += frame.f_locals["args"][0] is optimizer
        frame = frame.f_back
    return steps > 1


def _unless(skip: Tensor, step: float | Tensor) -> Tensor:
    """The step, or 0 where it was skipped, in which it may be no number."""
    return torch.where(skip > 0, 0.0, torch.as_tensor(step, device=skip.device))


def _sign(group: Group) -> float:
    return -1.0 if group.get("maximize") else 1.0


def _apply(due: Sequence[Due]) -> None:
    steps: dict[Hashable, float | Tensor] = {}
    keyed: list[tuple[Held, Hashable]] = []
    for part, step in due:
        key: Hashable = (id(step), part.parameter.device) if isinstance(step, Tensor) else step
        steps[key] = step
        keyed.append((part, key))
    for parts, key in alike(keyed):
        prox_(parts, steps[key])

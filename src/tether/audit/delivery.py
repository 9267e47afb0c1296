"""Delivery: real steps of the optimiser, watched right before and right after the tether's own hooks."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tether.audit.objective import Gradients
from tether.audit.pull import Measured, gradient_pull, prox_pull, reference
from tether.binding import Tether
from tether.held import Held
from tether.membership import Group
from tether.stepsize import effective_step

Hook = Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], Any]


class Delivery:
    """Puts each part at a displaced place in every step, and measures what the tether's hooks make of it.

    Args:
        places: where each part is put: its weight less its reference is large enough for any pull to show.

    Raises:
        UnknownStep: nothing is attached, the plan acts by prox, and no effective step of the optimiser is known.

    """

    def __init__(self, leash: Tether, optimizer: Optimizer, places: Mapping[Held, Tensor]) -> None:
        self.leash, self.optimizer, self.places = leash, optimizer, places
        self.via = leash.attachment.via if leash.attachment else leash.plan.via
        self.found: dict[Held, Measured] = {}
        self.skipped = False
        self._groups: dict[int, Group] = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        self._before: dict[Held, Tensor] = {}
        self._owed: dict[Held, Tensor] = {}
        self._factors: dict[Held, float] = {}

    def run(self, gradients: Gradients, scaler: Any = None) -> dict[Held, Measured]:
        """Step until each pull was delivered once, or should have been; a gathered one takes many steps.

        Raises:
            TetherError: the step is refused.

        """
        attachment = self.leash.attachment
        every = {} if attachment is None else attachment.gathering.every
        steps = 1 + max((every.get(part, 1) for part in self.places), default=1)  # k rounded steps may be just too few
        if attachment is not None:
            attachment.gathering.collected = {}
        with self._watching():
            for _ in range(steps):
                self.skipped = True  # unless a hook is called
                take_step(self.optimizer, gradients, scaler)
                if self.skipped or self.found.keys() >= self.places.keys():
                    break
        if not self.skipped:
            for part in self._owed.keys() - self.found.keys():  # nothing came, though it should have by now
                self._judge_weights(part, part.weight())
        return self.found

    @contextmanager
    def _watching(self) -> Iterator[None]:
        before, after = self.optimizer._optimizer_step_pre_hooks, self.optimizer._optimizer_step_post_hooks
        handles = [
            self.optimizer.register_step_pre_hook(_now_or_in_closure(self._place)),
            self.optimizer.register_step_post_hook(self._note_plain),
        ]
        for hooks, handle in zip((before, after), handles, strict=True):
            self._put_first(hooks, handle.id)
        handles += [
            self.optimizer.register_step_pre_hook(_now_or_in_closure(self._see_gradients)),
            self.optimizer.register_step_post_hook(self._see_weights),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _put_first(self, hooks: Any, mine: int) -> None:
        """Move the hook to right before the tether's; where that is gone it stays last."""
        assert isinstance(hooks, OrderedDict)
        ours = [getattr(hook, "__self__", "") is self.leash.attachment for hook in hooks.values()]
        later = list(hooks)[ours.index(True) :] if True in ours else []
        for key in later:
            if key != mine:
                hooks.move_to_end(key)

    def _place(self) -> None:
        for part, place in self.places.items():
            put(part, place)
            self._factors[part] = part.pull.schedule.factor(self.leash.steps_seen)
            if part.parameter.grad is not None and part not in self.found:
                self._before[part] = _dense(part.parameter.grad)

    def _see_gradients(self) -> None:
        if self.via == "prox":
            return
        for part in self._before.keys() - self.found.keys():
            self._judge_gradient(part, self._before[part])

    def _judge_gradient(self, part: Held, before: Tensor) -> None:
        grad = part.parameter.grad
        assert grad is not None
        scale = float(getattr(self.optimizer, "grad_scale", None) or 1.0)
        sign = -1.0 if self._groups[id(part.parameter)].get("maximize") else 1.0
        expected = gradient_pull(part, scale * sign * self._factors[part])
        if grad.is_sparse:
            expected *= part.of_rows(_touched(grad)).reshape(-1, *[1] * (expected.ndim - 1))
        self.found[part] = Measured.of_gradient(part, expected, before, _dense(grad))

    def _note_plain(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.skipped = bool(getattr(optimizer, "found_inf", False))
        if self.via == "gradient" or self.skipped:
            return
        for part in self.places:
            if part.parameter.grad is not None and part not in self.found:
                self._before[part] = part.weight().clone()
                owed = torch.as_tensor(self._taken(part), dtype=torch.float64) * self._factors[part]
                self._owed[part] = self._owed[part] + owed if part in self._owed else owed

    def _see_weights(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for part in self._owed.keys() - self.found.keys():
            weight = part.weight()
            if not torch.equal(weight, self._before[part]):
                self._judge_weights(part, weight)

    def _judge_weights(self, part: Held, weight: Tensor) -> None:
        plain, owed = self._before[part], self._owed[part]
        measured = weight.double() - plain.double()
        expected = prox_pull(part, plain, owed)
        if owed.ndim and (measured != 0).any():  # each value is due when its own steps are enough
            enough = self.leash.attachment.gathering.enough[part] if self.leash.attachment else 0.0
            expected = torch.where((measured != 0) | (owed > enough), expected, 0.0)
        operands = plain.double().abs() + weight.double().abs() + reference(part).abs()
        self.found[part] = Measured.of(part, expected, measured, operands, weight.dtype)

    def _taken(self, part: Held) -> float | Tensor:
        group, attachment = self._groups[id(part.parameter)], self.leash.attachment
        if attachment is None:
            return effective_step(self.optimizer)(group)
        return attachment._taken(self.optimizer, group, part)


def take_step(optimizer: Optimizer, gradients: Gradients, scaler: Any = None) -> None:
    """Step once with these gradients, through the scaler if there is one, in a closure where the optimiser needs it."""

    def fill() -> Tensor:
        for p, grad in gradients.items():
            p.grad = grad.clone()
        return torch.zeros(())

    if _needs_closure(optimizer):
        optimizer.step(fill)  # type: ignore[arg-type]
        return
    fill()
    if scaler is None:
        optimizer.step()
        return
    scaler.step(optimizer)
    scaler.update(scaler.get_scale())  # the same scale: so that it can step again


def _needs_closure(optimizer: Optimizer) -> bool:
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def _now_or_in_closure(do: Callable[[], None]) -> Hook:
    """A step hook that acts at once, or where the step runs a closure after each run of it."""

    def hook(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            do()
            return None

        def followed() -> Any:
            loss = closure()
            do()
            return loss

        if len(args) > 1:
            return (args[0], followed, *args[2:]), kwargs
        return args, {**kwargs, "closure": followed}

    return hook


@torch.no_grad()
def put(part: Held, place: Tensor) -> None:
    """Give the held values of a parameter other ones, in place."""
    if part.rows is None:
        part.parameter.copy_(place)
    else:
        part.parameter.index_copy_(0, part.rows.to(place.device), place)


def _dense(grad: Tensor) -> Tensor:
    return grad.to_dense() if grad.is_sparse else grad.clone()


def _touched(grad: Tensor) -> Tensor:
    touched = torch.zeros(grad.shape[0], dtype=torch.float64, device=grad.device)
    touched[grad.coalesce().indices()[0]] = 1.0
    return touched

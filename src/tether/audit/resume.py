"""Resume: whether a run that goes on from what was saved takes the same step as one that never stopped."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tether.audit.delivery import take_step
from tether.audit.objective import Gradients
from tether.audit.result import Row
from tether.binding import Tether
from tether.errors import TetherError
from tether.guard import few
from tether.params.select import aliases

SAME = "same bits"


def resume(leash: Tether, optimizer: Optimizer, gradients: Gradients) -> Row:
    """Save tether, weights and optimiser, load them into fresh ones, and step both with the same gradients."""
    if leash.attachment is None or leash.attachment.optimizer() is not optimizer:
        return unresumed("the tether is not attached to this optimiser")
    try:
        saved = leash.state_dict()
        model, twins = _twin(leash, optimizer)
        other = _fresh(optimizer, twins)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        again = Tether(model, leash.anchor, leash.plan)
        again.attach(other, **_how(leash))
    except (TetherError, TypeError) as error:
        return unresumed(f"nothing could be saved and loaded: {str(error).splitlines()[0]}")
    again.load_state_dict(saved)
    _only_ours(leash, optimizer)
    take_step(optimizer, gradients)
    take_step(other, {twins[p]: grad for p, grad in gradients.items() if p in twins})
    differing = list(_differences(leash, again, optimizer, other, twins))
    again.detach()
    note = f"after loading, the next step differs in {few(differing)}" if differing else ""
    return Row("resume", "one more step", SAME, "other bits" if differing else SAME, not differing, note)


def unresumed(why: str) -> Row:
    """The row where nothing can be compared."""
    return Row("resume", "one more step", SAME, "–", None, why)


def _twin(leash: Tether, optimizer: Optimizer) -> tuple[nn.Module, dict[nn.Parameter, nn.Parameter]]:
    """Parameters of the same names in a bare model, with the saved values; no layer is needed to step them."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    twins = {p: _copy(p) for p in [*leash.parameters.values(), *trained]}
    names = aliases(leash.model)
    root = nn.Module()
    for first, p in leash.parameters.items():
        for name in names.get(first, (first,)):
            *path, leaf = name.split(".")
            module = root
            for part in path:
                if part not in module._modules:
                    module.add_module(part, nn.Module())
                module = module.get_submodule(part)
            module.register_parameter(leaf, twins[p])
    return root, twins


def _copy(p: nn.Parameter) -> nn.Parameter:
    twin = nn.Parameter(p.detach().clone(), requires_grad=p.requires_grad)
    twin.grad = None if p.grad is None else p.grad.clone()
    return twin


def _fresh(optimizer: Optimizer, twins: Mapping[nn.Parameter, nn.Parameter]) -> Optimizer:
    kind = type(optimizer)
    known = inspect.signature(kind).parameters
    groups = [{"params": [twins[p] for p in group["params"]]} for group in optimizer.param_groups]
    for group, like in zip(groups, optimizer.param_groups, strict=True):
        group |= {key: value for key, value in like.items() if key in known and key != "params"}
    return kind(groups, **{key: value for key, value in optimizer.defaults.items() if key in known})


def _only_ours(leash: Tether, optimizer: Optimizer) -> None:
    """Leave the user's own hooks out of the step: they act on these parameters, and not on the twins."""
    for kind in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
        hooks = getattr(optimizer, kind).items()
        ours = {key: hook for key, hook in hooks if getattr(hook, "__self__", "") is leash.attachment}
        setattr(optimizer, kind, OrderedDict(ours))


def _how(leash: Tether) -> dict[str, Any]:
    attachment = leash.attachment
    assert attachment is not None
    return {"via": attachment.via, "metric": attachment.metric, "step": attachment._step}


def _differences(
    leash: Tether,
    again: Tether,
    optimizer: Optimizer,
    other: Optimizer,
    twins: Mapping[nn.Parameter, nn.Parameter],
) -> Iterator[str]:
    names = {p: name for name, p in leash.parameters.items()}
    for p, twin in twins.items():
        if not torch.equal(p.detach(), twin.detach()):
            yield names.get(p, "a parameter of no name")
        elif not _equal(optimizer.state.get(p, {}), other.state.get(twin, {})):
            yield f"the optimiser's state of {names.get(p, 'a parameter of no name')}"
    if (leash.steps_seen, leash.steps_acted) != (again.steps_seen, again.steps_acted):
        yield "the count of steps"
    assert leash.attachment is not None and again.attachment is not None
    if not _equal(leash.attachment.gathering.saved(), again.attachment.gathering.saved()):
        yield "what is gathered"


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return bool(one == other)

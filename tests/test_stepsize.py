from typing import Any

import pytest
import torch
from torch import nn

from tether.errors import UnknownStep
from tether.stepsize import STEPLESS, STEPS, effective_step


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2, 2))]


def step_of(optimizer: torch.optim.Optimizer) -> Any:
    return effective_step(optimizer)(optimizer.param_groups[0])


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({}, 0.1),
        ({"momentum": 0.9}, 1.0),
        ({"momentum": 0.9, "nesterov": True}, 1.0),
        ({"momentum": 0.9, "dampening": 0.9}, 0.1),
        ({"dampening": 0.5}, 0.1),  # without momentum torch does not dampen
    ],
    ids=str,
)
def test_sgds_step_is_how_far_a_constant_gradient_goes(settings: dict[str, Any], step: float):
    optimizer = torch.optim.SGD(parameters(), lr=0.1, **settings)
    assert step_of(optimizer) == pytest.approx(step)
    assert step_of(optimizer) == pytest.approx(walked(optimizer), rel=1e-3)


def walked(optimizer: torch.optim.Optimizer) -> float:
    """How far one step goes in the long run, under a gradient of 1."""
    (weight,) = optimizer.param_groups[0]["params"]
    for _ in range(200):
        before = float(weight.detach()[0, 0])
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    return before - float(weight.detach()[0, 0])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprops_step_counts_its_momentum(momentum: float):
    optimizer = torch.optim.RMSprop(parameters(), lr=0.1, momentum=momentum)
    assert step_of(optimizer) == pytest.approx(0.1 / (1 - momentum))
    assert step_of(optimizer) == pytest.approx(walked(optimizer), rel=0.1)  # RMSprop's own average is still settling


def test_adams_step_is_its_rate_and_a_tensor_stays_one():
    rate = torch.tensor(0.1)
    assert step_of(torch.optim.AdamW(parameters(), lr=rate)) is rate


def test_every_optimiser_of_torch_is_known_or_refused():
    kinds = {
        kind
        for kind in vars(torch.optim).values()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    assert kinds == STEPS.keys() | STEPLESS.keys()


@pytest.mark.parametrize("kind", STEPLESS, ids=lambda kind: kind.__name__)
def test_where_no_step_is_right_prox_is_refused(kind: Any):
    with pytest.raises(UnknownStep, match='via="gradient"'):
        effective_step(kind(parameters()))


class Sgd(torch.optim.SGD):
    pass


def test_a_subclass_may_step_otherwise_and_is_refused_unless_its_step_is_given():
    optimizer = Sgd(parameters(), lr=0.1)
    with pytest.raises(UnknownStep, match="Sgd` is not known"):
        effective_step(optimizer)
    assert effective_step(optimizer, 0.5)(optimizer.param_groups[0]) == 0.5
    assert effective_step(optimizer, lambda group: 2 * group["lr"])(optimizer.param_groups[0]) == 0.2


def test_schedule_free_is_refused():
    kind = type("AdamWScheduleFree", (torch.optim.AdamW,), {"__module__": "schedulefree.adamw"})
    with pytest.raises(UnknownStep, match="an average of its iterates"):
        effective_step(kind(parameters()))


@pytest.mark.parametrize("step", [0.0, -0.1, float("nan"), float("inf")])
def test_a_step_that_is_none_is_refused(step: float):
    with pytest.raises(UnknownStep, match="finite number above 0"):
        effective_step(torch.optim.SGD(parameters(), lr=0.1), step)

import math
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import nn

from tether import RunSpec
from tether.engine.build import build
from tether.engine.loop import train
from tether.engine.optimise import make_optimizer, make_schedule, rate
from tether.engine.training import Training
from tether.spec import OptimizerSpec


def test_the_rate_rises_to_its_peak_and_falls_along_a_cosine() -> None:
    found = [rate(step, 100, 0.1) for step in range(100)]
    assert found[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    for step in range(10, 100):
        assert found[step] == pytest.approx((1 + math.cos(math.pi * (step - 10) / 90)) / 2)
    assert max(found) == 1.0
    assert 0 < found[-1] < 0.001


@pytest.mark.parametrize(("total", "warmup"), [(1, 0.0), (1, 0.1), (1, 1.0), (3, 1.0), (2, 0.5)])
def test_no_step_has_no_rate(total: int, warmup: float) -> None:
    assert all(0 < rate(step, total, warmup) <= 1 for step in range(total))


def test_the_steps_of_a_run_use_it(settings: Callable[..., dict[str, Any]]) -> None:
    job = build(RunSpec.from_flags(settings({"optimizer.warmup": 0.5, "optimizer.name": "sgd"})))
    optimizer, used = make_optimizer(job.spec.optimizer, job.model), []
    optimizer.register_step_pre_hook(lambda it, _, __: used.append(it.param_groups[0]["lr"]))
    train(Training(job, optimizer), lambda row: None, quiet=True)
    assert used == pytest.approx([0.01 * rate(step, 9, 0.5) for step in range(9)])


def test_the_schedule_is_written_into_the_optimiser() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    make_schedule(OptimizerSpec(warmup=0.5), optimizer, 4)
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["initial_lr"] == 0.5


def test_optimisers_are_fused_have_no_decay_and_hold_what_is_trained() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    adamw = make_optimizer(OptimizerSpec(name="adamw", lr=0.1), model)
    sgd = make_optimizer(OptimizerSpec(name="sgd", lr=0.1, momentum=0.5), model)
    assert (type(adamw), type(sgd)) == (torch.optim.AdamW, torch.optim.SGD)
    for optimizer in (adamw, sgd):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["weight_decay"], group["fused"]) == (0.1, 0, True)
        assert [id(p) for p in group["params"]] == [id(p) for p in model[1].parameters()]
    assert sgd.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_where_nothing_is_trained_it_has_nothing(name: Literal["adamw", "sgd"]) -> None:
    optimizer = make_optimizer(OptimizerSpec(name=name, lr=0.1), nn.Linear(1, 1).requires_grad_(False))
    assert [group["params"] for group in optimizer.param_groups] == [[]]
    optimizer.step()

"""A step with tensor rates, or under a scaler, asks the host for no more values than it does without a tether."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.base import Penalty
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan


class Asked(TorchDispatchMode):
    """How often a value of a tensor was asked for."""

    times = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.times += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def asked(penalty: Penalty | None, via: str) -> int:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.01), fused=True)
    leash = None
    if penalty is not None:
        leash = Tether(model, Anchor.of(model, new="1.*"), Plan(penalty, L2(0.1), via=via)).attach(optimizer)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(0.0)
    with Asked() as counting:
        for _ in range(3):
            optimizer.step()
    assert leash is None or leash.steps_acted == 3
    return counting.times


@pytest.mark.parametrize("via", ["gradient", "prox"])
@pytest.mark.parametrize("penalty", [L2(0.1), L2(1e-5).toward("zero"), L1(0.1)], ids=repr)
def test_nothing_is_asked(penalty: Penalty, via: str):
    assert asked(penalty, via) == asked(None, via)

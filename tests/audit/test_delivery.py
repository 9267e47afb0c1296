"""Real steps, watched right before and right after the tether's own hooks."""

from typing import Any

import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.audit.delivery import Delivery, put, take_step
from tether.binding import Tether
from tether.held import Held
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan


def made(via: Any, optimizer: type[torch.optim.Optimizer] = torch.optim.SGD) -> Any:
    model = nn.Linear(4, 3)
    stepping = optimizer(model.parameters(), lr=0.1)
    stepping.register_step_pre_hook(lambda *_: None)
    stepping.register_step_post_hook(lambda *_: None)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5), via=via)).attach(stepping)
    stepping.register_step_pre_hook(lambda *_: None)
    stepping.register_step_post_hook(lambda *_: None)
    places = {part: part.weight() + torch.rand_like(part.weight()) for part in leash.parts}
    return leash, stepping, places, {p: torch.randn_like(p) for p in model.parameters()}


@pytest.mark.parametrize("via", ["gradient", "prox"])
def test_each_part_is_measured_at_its_place_in_closed_form(via: str) -> None:
    leash, optimizer, places, gradients = made(via)
    found = Delivery(leash, optimizer, places).run(gradients)
    assert found.keys() == places.keys()
    for part, pull in found.items():
        delta = places[part] - leash.anchor.references[part.name]
        if via == "prox":  # shrunk by 0.1·0.5 after the optimiser's own step
            delta = (delta - 0.1 * gradients[part.parameter]) * 0.1
        assert pull.expected == pytest.approx(
            float((0.5 * delta / (1 if via == "gradient" else 1.05)).norm()), rel=1e-5
        )
        assert pull.measured == pytest.approx(pull.expected, rel=1e-5)
        assert pull.passed


@pytest.mark.parametrize("via", ["gradient", "prox"])
def test_the_hooks_are_in_the_order_that_they_were(via: str) -> None:
    leash, optimizer, places, gradients = made(via)
    kinds = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    before = [list(kind.items()) for kind in kinds]
    Delivery(leash, optimizer, places).run(gradients)
    assert [list(kind.items()) for kind in kinds] == before


def test_what_takes_a_closure_gets_one_with_these_gradients() -> None:
    model = nn.Linear(4, 3)
    gradients = {p: torch.randn_like(p) for p in model.parameters()}
    before = [p.detach().clone() for p in model.parameters()]
    take_step(torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=1), gradients)
    step = min(1.0, 1 / float(sum(g.abs().sum() for g in gradients.values())))  # the first step of torch's LBFGS
    for p, was in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), was - step * gradients[p])


def test_to_put_a_part_of_some_rows_leaves_the_others() -> None:
    weight = nn.Parameter(torch.zeros(3, 2))
    part = Held("weight", "new", weight, L2(1.0).toward("zero"), None, torch.tensor([0, 2]))
    put(part, torch.ones(2, 2))
    assert weight.tolist() == [[1, 1], [0, 0], [1, 1]]

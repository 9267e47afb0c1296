"""The hooks of a tether cannot go missing without a word."""

import copy
import gc
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import HooksLost
from tether.guard import few, guarded
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def tether(model: nn.Module) -> Tether:
    return Tether(model, Anchor.of(model, new="1.*"), Plan(L2(0.5), L2(0.1)))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.1)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()


def copied_together(model: nn.Module, optimizer: Any) -> Any:
    return copy.deepcopy((model, optimizer))


def copied_shallow(model: nn.Module, optimizer: Any) -> Any:
    return model, copy.copy(optimizer)


def pickled(model: nn.Module, optimizer: Any) -> Any:
    return pickle.loads(pickle.dumps((model, optimizer)))


def another(model: nn.Module, optimizer: Any) -> Any:
    return model, adam(model)


def resumed(model: nn.Module, optimizer: Any) -> Any:
    fresh = net()
    found = adam(fresh)
    found.load_state_dict(optimizer.state_dict())
    return fresh, found


def resumed_through_a_file(model: nn.Module, optimizer: Any) -> Any:
    fresh = net()
    found = adam(fresh)
    found.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    return fresh, found


@pytest.mark.parametrize(
    "lose",
    [copied_together, copied_shallow, pickled, another, resumed, resumed_through_a_file],
    ids=lambda f: f.__name__,
)
def test_an_optimiser_without_its_hooks_raises_at_its_first_step(lose: Any):
    model = net()
    optimizer = adam(model)
    leash = tether(model).attach(optimizer)
    step(model, optimizer)
    other_model, other = lose(model, optimizer)
    before = [p.detach().clone() for p in other_model.parameters()]
    with pytest.raises(HooksLost) as refusal:
        step(other_model, other)
    assert "attach" in refusal.value.fix
    assert all(map(torch.equal, before, [p.detach() for p in other_model.parameters()]))
    step(model, optimizer)
    assert leash.acted_on == "the penalty acted on 2 of 2 steps"


def test_the_refusal_says_which_plan_is_missing():
    model = net()
    optimizer = adam(model)
    tether(model).attach(optimizer)
    other, copied = copied_together(model, optimizer)
    with pytest.raises(HooksLost, match=r"no tether: transferred → source: L2\(0.5\)"):
        step(other, copied)


def test_attaching_to_the_copy_is_the_way_out():
    model = net()
    optimizer = adam(model)
    tether(model).attach(optimizer)
    other, copied = copied_together(model, optimizer)
    leash = tether(other).attach(copied)
    step(other, copied)
    assert leash.steps_acted == 1


def test_so_is_taking_the_mark_off():
    model = net()
    optimizer = adam(model)
    tether(model).attach(optimizer)
    other, copied = copied_together(model, optimizer)
    for group in copied.param_groups:
        group.pop("tether")
    step(other, copied)


def test_a_state_loaded_after_attaching_keeps_the_tether():
    model = net()
    optimizer = adam(model)
    leash = tether(model).attach(optimizer)
    plain = net()
    optimizer.load_state_dict(adam(plain).state_dict())
    step(model, optimizer)
    assert leash.steps_acted == 1
    other, copied = copied_together(model, optimizer)
    with pytest.raises(HooksLost):
        step(other, copied)


def test_a_detached_optimiser_steps_freely_and_so_does_one_of_another_model():
    model, stranger = net(), net()
    optimizer = adam(model)
    leash = tether(model).attach(optimizer)
    step(stranger, adam(stranger))
    assert guarded(optimizer)
    leash.detach()
    assert not guarded(optimizer)
    step(model, optimizer)
    step(model, adam(model))


def test_the_value_after_the_optimiser_is_gone_raises():
    model = net()
    optimizer = adam(model)
    leash = tether(model).attach(optimizer)
    del optimizer
    gc.collect()
    for asked in (leash.value, leash.state_dict, leash.log):
        with pytest.raises(HooksLost, match="is gone or has lost its hooks"):
            asked()
    assert "by prox, and its optimiser is gone or has lost its hooks" in str(leash)
    leash.detach()
    assert leash.value() > 0


@pytest.mark.parametrize("hooks", ["_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"])
def test_the_value_after_the_hooks_were_removed_raises(hooks: str):
    model = net()
    optimizer = adam(model)
    leash = tether(model).attach(optimizer)
    getattr(optimizer, hooks).clear()
    with pytest.raises(HooksLost):
        leash.value()
    with pytest.raises(HooksLost):
        leash.state_dict()


def test_few_names_stand_for_many():
    assert few(["a", "b"]) == "`a`, `b`"
    assert few(list("abcdef")) == "`a`, `b`, `c`, `d` and 2 more"

"""Defects that were found in other libraries with such a penalty, and that must not come back here."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel

import tether
from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import MatchError, PlanError
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

both_ways = pytest.mark.parametrize("via", ["gradient", "prox"])


def pulled(model: nn.Module, leash: Tether, via: str) -> dict[str, torch.Tensor]:
    """How far a step of rate 1 and no loss moves each parameter."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    leash.attach(optimizer, via=via)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    return {name: p.detach() - before[name] for name, p in model.named_parameters()}


@both_ways
def test_two_parameters_with_equal_values_are_both_held(via: str):
    """A look-up by value, and not by identity, drops the second."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].load_state_dict(model[0].state_dict())
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5).toward("zero")))
    moved = pulled(model, leash, via)
    assert all(delta.abs().min() > 0 for delta in moved.values())
    assert torch.equal(moved["0.weight"], moved["1.weight"])


class Named(nn.Module):
    """A BatchNorm that only its class tells, and a layer that only its name calls one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn1 = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.norm_of_inputs, self.fc = nn.Conv2d(4, 4, 1), nn.Linear(4, 2)


def test_a_norm_is_known_by_its_class_and_not_by_its_name():
    source, model = Named(), Named()
    source.bn1.running_mean += 1.0
    moved = tether.transfer(source, into=model)
    assert moved.transferred_norms == ("bn1",)


@pytest.mark.parametrize("wrap", [DataParallel, torch.compile], ids=["module.", "_orig_mod."])
@both_ways
def test_a_wrappers_prefix_changes_no_name_and_no_pull(wrap: Any, via: str):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    anchor = Anchor.of(model, new="1.*")
    leash = Tether(wrap(model), anchor, Plan(L2(0.5).toward("zero"), L2(0.5), overrides={"0.bias": None}))
    assert [part.name for part in leash.parts] == ["0.weight", "1.weight", "1.bias"]
    moved = pulled(model, leash, via)
    assert not moved["0.bias"].any()
    assert moved["0.weight"].all()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_a_checkpoint_of_a_wrapped_model_transfers_whole(prefix: str):
    source, model = nn.Linear(3, 2), nn.Linear(3, 2)
    moved = tether.transfer({prefix + name: p for name, p in source.state_dict().items()}, into=model)
    assert moved.match.coverage == 1.0
    assert sorted(moved.anchor.references) == ["bias", "weight"]


@both_ways
def test_a_parameter_without_a_gradient_in_one_step_is_pulled_again_in_the_next(via: str):
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5).toward("zero"))).attach(optimizer, via=via)
    first, second = model[0].weight, model[1].weight
    for missing in (True, False):
        first.grad, second.grad = torch.zeros_like(first), None if missing else torch.zeros_like(second)
        before = second.detach().clone()
        optimizer.step()
        assert torch.equal(second.detach(), before) == missing
    assert leash.acted_on == "the penalty acted on 2 of 2 steps"


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(words))


@both_ways
def test_tied_embeddings_are_pulled_once_and_found_by_either_name(via: str):
    model = Tied()
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5).toward("zero")))
    assert len(leash.parts) == 1
    torch.testing.assert_close(leash.value().detach(), 0.25 * model.embed.weight.detach().square().sum())
    before = model.embed.weight.detach().clone()
    moved = pulled(model, leash, via)["embed.weight"]
    expected = -0.5 * before if via == "gradient" else before / 1.5 - before
    torch.testing.assert_close(moved, expected)
    other = Tether(model, Anchor.of(model), Plan(L2(0.5), overrides={"head.weight": L2(0.25)}))
    assert [(part.name, part.penalty) for part in other.parts] == [("embed.weight", L2(0.25))]


@both_ways
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_a_model_may_change_its_dtype_after_attaching(via: str, dtype: torch.dtype):
    model = nn.Linear(4, 3)
    source = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5)))
    leash.attach(optimizer, via=via)
    model.to(dtype)
    model.weight.detach().add_(1.0)
    start = model.weight.detach().clone().double()
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    delta = start - source.to(dtype).double()
    expected = start - 0.25 * delta if via == "gradient" else start - delta * 0.25 / 1.25
    torch.testing.assert_close(model.weight.detach().double(), expected, rtol=4 * torch.finfo(dtype).eps, atol=0)
    assert model.weight.dtype == dtype
    assert leash.steps_acted == 1


def test_a_head_anchored_at_its_random_start_is_refused():
    source = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 10))
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    moved = tether.transfer(source, into=model, exclude=["1.*"], coverage=0.3)
    with pytest.raises(PlanError, match="cannot pull toward the source"):
        Plan(L2(0.1), new=L2(0.1).toward("source"))
    with pytest.raises(PlanError, match=r"pulls the new parameter `1.weight` toward a source"):
        moved.tether(Plan(L2(0.1), overrides={"1.*": L2(0.1).toward("source")}))
    everything = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(PlanError, match=r"new parameter `1.weight` to its own start"):
        moved.tether(Plan(L2(0.1), new=L2(0.1).toward(everything)))
    with pytest.raises(MatchError, match="new and has a source value"):
        Anchor(everything, {"1.weight": None})


@both_ways
def test_the_penalty_is_on_from_the_first_step_that_moves_anything(via: str):
    """Elsewhere it stayed at zero for months: the value after the first step, and what the step did, are not zero."""
    model = nn.Linear(3, 2)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer, via=via)
    plain = nn.Linear(3, 2)
    plain.load_state_dict(model.state_dict())
    twin = torch.optim.SGD(plain.parameters(), lr=0.1)
    for net, stepper in ((model, optimizer), (plain, twin)):
        for _ in range(2):
            stepper.zero_grad()
            net(torch.ones(1, 3)).square().sum().backward()
            stepper.step()
    assert float(leash.value().detach()) > 0
    assert not torch.equal(model.weight, plain.weight)

"""What an optimiser and a tether cannot do together is refused, at once or at the step where it begins."""

import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError, DoubleDecay, PullBelowPrecision
from tether.penalties.group import GroupLasso
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

both_ways = pytest.mark.parametrize("via", ["gradient", "prox"])


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def tether(model: nn.Module, *, strength: float = 0.5) -> Tether:
    return Tether(model, Anchor.of(model, new="1.*"), Plan(L2(strength), L2(0.1)))


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()


def test_the_optimisers_own_decay_is_refused_and_both_ways_out_are_named():
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(DoubleDecay, match=r"weight_decay=0.01 acts on held parameters: `0.weight`") as refusal:
        tether(model).attach(optimizer)
    assert "weight_decay=0" in refusal.value.fix
    assert 'own_decay="replace"' in refusal.value.fix
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


def test_the_optimisers_own_decay_can_be_replaced_and_that_is_reported():
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    leash = tether(model).attach(optimizer, own_decay="replace")
    assert optimizer.param_groups[0]["weight_decay"] == 0
    assert "replaced: the optimiser's own weight_decay=0.01 of 4 held parameters was set to 0" in leash.summary()


def test_replacing_says_of_how_many_free_parameters_too():
    model = net()
    leash = Tether(model, Anchor.of(model, new="1.*"), Plan(L2(0.5)))
    optimizer = torch.optim.AdamW(model.parameters())
    leash.attach(optimizer, own_decay="replace")
    assert "of 2 held parameters and of 2 that the plan leaves free was set to 0" in leash.summary()


def test_own_decay_of_free_parameters_stays():
    model = net()
    groups = [{"params": model[0].parameters(), "weight_decay": 0.0}, {"params": model[1].parameters()}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1)
    Tether(model, Anchor.of(model, new="1.*"), Plan(L2(0.5))).attach(optimizer)
    assert optimizer.param_groups[1]["weight_decay"] == 0.1


@both_ways
def test_a_refused_attachment_leaves_the_optimiser_as_it_was(via: str):
    model = net().bfloat16() if via == "prox" else net()
    leash = tether(model, strength=1e-9) if via == "prox" else tether(model)
    parameters = model.parameters() if via == "prox" else model[0].parameters()
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    with pytest.raises(PullBelowPrecision if via == "prox" else AttachError):
        leash.attach(optimizer, via=via, own_decay="replace")
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    assert "tether" not in optimizer.param_groups[0]
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_a_held_parameter_in_no_group_is_refused():
    model = net()
    with pytest.raises(AttachError, match=r"2 held parameters are in no group of this optimiser: `1.weight`, `1.bias`"):
        tether(model).attach(torch.optim.SGD(model[0].parameters(), lr=0.1))


def test_a_frozen_parameter_need_not_be_in_a_group():
    model = net()
    model[0].requires_grad_(False)
    tether(model).attach(torch.optim.SGD(model[1].parameters(), lr=0.1))


def test_a_second_tether_is_refused():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = tether(model).attach(optimizer)
    with pytest.raises(AttachError, match="has a tether already"):
        tether(model).attach(optimizer)
    with pytest.raises(AttachError, match="pulled by another attached tether"):
        tether(model).attach(torch.optim.SGD(model.parameters(), lr=0.1))
    first.detach()
    tether(model).attach(optimizer)


@both_ways
def test_a_group_added_later_is_refused(via: str):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tether(model).attach(optimizer, via=via)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(AttachError, match="have changed since its tether was attached"):
        step(model, optimizer)


def test_a_parameter_put_in_anothers_place_is_refused():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tether(model).attach(optimizer)
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())
    optimizer.param_groups[0]["params"][0] = model[0].weight
    with pytest.raises(AttachError, match="have changed since its tether was attached"):
        step(model, optimizer)


@both_ways
def test_weight_decay_switched_on_later_is_refused(via: str):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tether(model).attach(optimizer, via=via)
    optimizer.param_groups[0]["weight_decay"] = 0.1
    with pytest.raises(DoubleDecay, match=r"became 0.1 after its tether was attached"):
        step(model, optimizer)


def test_a_loaded_state_with_decay_is_refused():
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    tether(model).attach(optimizer)
    optimizer.load_state_dict(torch.optim.AdamW(model.parameters(), weight_decay=0.1).state_dict())
    with pytest.raises(DoubleDecay):
        step(model, optimizer)


@pytest.mark.parametrize(("plan", "said"), [(Plan(L2(0.1)), "every row"), (Plan(GroupLasso(0.1)), "every row")])
def test_a_sparse_gradient_is_refused_by_prox(plan: Plan, said: str):
    model = nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Tether(model, Anchor.of(model), plan).attach(optimizer)
    model(torch.tensor([1])).sum().backward()
    with pytest.raises(AttachError, match=r"gradient of `weight` is sparse") as refused:
        optimizer.step()
    assert said in refused.value.why


def test_a_sparse_gradient_is_refused_where_rows_are_held_together():
    model = nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Tether(model, Anchor.of(model), Plan(GroupLasso(0.1, "layers"), via="gradient")).attach(optimizer)
    model(torch.tensor([1])).sum().backward()
    with pytest.raises(AttachError, match=r"`weight`, whose gradient is sparse"):
        optimizer.step()

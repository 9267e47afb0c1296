"""A tether: what it binds to what, row by row, and its value."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tether.anchor import Anchor, file_digest
from tether.binding import Tether
from tether.errors import MatchError, NoParameterSelected, PlanError
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import differential_l2, l2_sp, none

NEW_ROWS = torch.tensor([False, True, False, True])
both_ways = pytest.mark.parametrize("via", ["gradient", "prox"])


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def moved(model: nn.Module) -> None:
    for p in model.parameters():
        p.detach().add_(0.1 * torch.randn_like(p))


def test_the_value_is_the_plans_formula():
    model = net().double()
    anchor = Anchor.of(model, new="1.*")
    leash = Tether(model, anchor, l2_sp(alpha=0.3, beta=0.2))
    assert leash.value() == sum(0.1 * p.square().sum() for p in model[1].parameters())
    moved(model)
    body = sum((p - anchor.references[f"0.{name}"]).square().sum() for name, p in model[0].named_parameters())
    head = sum(p.square().sum() for p in model[1].parameters())
    torch.testing.assert_close(leash.value(), 0.15 * body + 0.1 * head)


def test_the_value_is_differentiable_until_an_optimiser_is_attached():
    model = net()
    leash = Tether(model, Anchor.of(model, new="1.*"), differential_l2())
    leash.value().backward()
    torch.testing.assert_close(model[0].weight.grad, 1e-5 * model[0].weight.detach())
    torch.testing.assert_close(model[1].weight.grad, 1e-4 * model[1].weight.detach())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer)
    assert not leash.value().requires_grad
    leash.detach()
    assert leash.value().requires_grad


def test_the_empty_plan_has_the_value_0():
    model = net()
    assert Tether(model, Anchor.of(model), none()).value() == 0


def test_a_new_parameter_is_never_held_to_its_start():
    model = net()
    leash = Tether(model, Anchor.of(model, new="1.*"), l2_sp())
    held = {part.name: part.reference for part in leash.parts}
    assert held["1.weight"] is held["1.bias"] is None
    assert held["0.weight"] is not None


def tied() -> nn.Module:
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4, bias=False)})
    model["head"].weight = model["embed"].weight
    return model


@pytest.mark.parametrize("glob", ["embed.*", "head.*"])
def test_tied_weights_count_once_and_both_names_mean_them(glob: str):
    model = tied()
    leash = Tether(model, Anchor.of(model), Plan(overrides={glob: L2(1.0).toward("zero")}))
    assert [part.name for part in leash.parts] == ["embed.weight"]
    torch.testing.assert_close(leash.value(), model["embed"].weight.square().sum() / 2)
    assert set(Anchor.of(model, new=glob).new) == {"embed.weight"}


def test_frozen_parameters_are_listed_and_not_pulled():
    model = net()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    leash = Tether(model, Anchor.of(model, new="1.*"), differential_l2()).attach(optimizer)
    assert "not held: 2 frozen, and so without a pull: `0.weight`, `0.bias`" in leash.summary()


def test_integer_parameters_are_not_held():
    model = net()
    model[0].codes = nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False)
    leash = Tether(model, Anchor.of(model, new="1.*"), l2_sp())
    assert "0.codes" not in {part.name for part in leash.parts}
    assert leash.free == {"0.codes": "torch.int8"}
    assert "not held: 1 torch.int8: `0.codes`" in leash.summary()


def test_buffers_are_never_held():
    model = nn.BatchNorm1d(3)
    leash = Tether(model, Anchor.of(model), l2_sp())
    assert [part.name for part in leash.parts] == ["weight", "bias"]


class Adapted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(3, 3)
        self.lora_A = nn.Linear(3, 1, bias=False)
        self.lora_B = nn.Linear(1, 3, bias=False)


def test_lora_factors_are_refused_and_may_be_left_free():
    model = Adapted()
    anchor = Anchor.of(model, new="lora_*")
    with pytest.raises(PlanError, match=r"2 LoRA factors one by one: `lora_A.weight`") as refusal:
        Tether(model, anchor, l2_sp())
    assert "lora_" in refusal.value.fix
    leash = Tether(model, anchor, Plan(L2(0.1), overrides={"*lora_*": None}))
    assert set(leash.free) == {"lora_A.weight", "lora_B.weight"}


def test_a_wrapped_model_is_bound_by_the_names_of_the_plain_one():
    model = net()
    anchor = Anchor.of(model, new="1.*")
    assert [part.name for part in Tether(torch.compile(model), anchor, l2_sp()).parts] == list(
        dict(model.named_parameters())
    )


def test_via_of_attach_goes_before_the_plans():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model, new="1.*"), l2_sp()).attach(optimizer)
    assert "by gradient" in leash.summary().splitlines()[0]
    leash.attach(optimizer, via="prox")
    assert "by prox" in leash.summary().splitlines()[0]
    assert "gradient" not in leash.summary().splitlines()[0]


@pytest.mark.parametrize(("via", "message"), [("loss", "by `gradient` or by `prox`"), ("gradient", "has no gradient")])
def test_a_way_that_is_none_is_refused(via: Any, message: str):
    model = net()
    leash = Tether(model, Anchor.of(model, new="1.*"), Plan(Frozen()))
    with pytest.raises(PlanError, match=message):
        leash.attach(torch.optim.SGD(model.parameters(), lr=0.1), via=via)


def test_an_anchor_of_another_model_is_refused():
    anchor = Anchor.of(net(), new="1.*")
    with pytest.raises(MatchError, match="differ in 4 parameters"):
        Tether(nn.Linear(2, 2), Anchor.of(nn.Sequential(nn.Linear(2, 2))), l2_sp())
    with pytest.raises(MatchError, match=r"`0.weight` is \(5, 4\) in the model and \(3, 4\) in the anchor"):
        Tether(nn.Sequential(nn.Linear(4, 5), nn.Linear(3, 2)), anchor, l2_sp())


def test_a_plan_that_selects_nothing_is_refused():
    model = net()
    with pytest.raises(NoParameterSelected):
        Tether(model, Anchor.of(model), Plan(new=L2(0.1)))


def test_a_mapped_file_that_has_changed_is_refused_at_attach(tmp_path: Path):
    model = net()
    path = tmp_path / "source.safetensors"
    path.write_bytes(b"as it was")
    plain = Anchor.of(model, new="1.*")
    anchor = Anchor(plain.references, plain.new, mapped=frozenset(plain.references), files={path: file_digest(path)})
    leash = Tether(model, anchor, l2_sp())
    path.write_bytes(b"as it is")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(MatchError, match="has changed since"):
        leash.attach(optimizer)
    assert leash.attachment is None


@pytest.mark.parametrize("deliver", ["flush", "detach"])
def test_what_is_gathered_is_delivered_when_asked(deliver: str):
    model = net()
    leash = Tether(model, Anchor.of(model, new="1.*"), Plan(L2(1e-3)))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    leash.attach(optimizer)
    with torch.no_grad():
        model[0].weight.mul_(2)
    start = model[0].weight.detach().clone()
    for _ in range(20):  # of 62 that are enough for a displacement of a thousandth; this one is as large as the weight
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    assert torch.equal(model[0].weight, start)
    assert leash.steps_acted == 0
    getattr(leash, deliver)()
    assert not torch.equal(model[0].weight, start)
    assert leash.steps_acted == 20


def test_counting_goes_on_from_a_saved_state():
    model = net()
    anchor = Anchor.of(model, new="1.*")
    leash = Tether(model, anchor, l2_sp())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    state = leash.state_dict()
    again = Tether(net(), anchor, l2_sp())
    again.load_state_dict(state)
    assert again.acted_on == "the penalty acted on 1 of 1 steps"
    with pytest.raises(PlanError, match="the saved state is of another plan"):
        Tether(net(), anchor, l2_sp(alpha=0.2)).load_state_dict(state)


@pytest.mark.parametrize("penalty", [L2(1e-5), L1(1e-5)], ids=repr)
@pytest.mark.parametrize("metric", ["identity", "optimizer"])
def test_a_state_taken_while_pulls_are_gathered_changes_nothing_and_goes_on_bit_for_bit(metric: str, penalty: Penalty):
    x = torch.randn(30, 3, 4)

    def start() -> tuple[nn.Module, torch.optim.Optimizer, Tether]:
        torch.manual_seed(0)
        model = net()
        plan = Plan(penalty, metric=metric)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        return model, optimizer, Tether(model, Anchor.of(model, new="1.*"), plan)

    def train(model: nn.Module, optimizer: torch.optim.Optimizer, batches: torch.Tensor) -> None:
        for batch in batches:
            optimizer.zero_grad()
            model(batch).square().sum().backward()
            optimizer.step()

    whole, optimizer, leash = start()
    leash.attach(optimizer)
    train(whole, optimizer, x)
    cut, optimizer, leash = start()
    leash.attach(optimizer)
    train(cut, optimizer, x[:5])
    saved = copy.deepcopy([cut.state_dict(), optimizer.state_dict(), leash.state_dict()])
    assert saved[2]["gathered"]
    again, optimizer, leash = start()
    again.load_state_dict(saved[0])  # trained weights, of which L1 takes another share
    leash.attach(optimizer)
    for thing, state in zip((optimizer, leash), saved[1:], strict=True):
        thing.load_state_dict(state)
    train(again, optimizer, x[5:])
    assert all(torch.equal(p, q) for p, q in zip(again.parameters(), whole.parameters(), strict=True))
    leash.flush()
    assert leash.acted_on == "the penalty acted on 30 of 30 steps"


def test_the_log_holds_the_value_and_how_far_things_moved():
    model = net()
    anchor = Anchor.of(model, new="1.*")
    leash = Tether(model, anchor, l2_sp())
    moved(model)
    body = sum((p - anchor.references[f"0.{name}"]).square().sum() for name, p in model[0].named_parameters())
    head = sum(p.square().sum() for p in model[1].parameters())
    found = leash.log()
    assert found["tether/value"] == pytest.approx(float(leash.value().detach()))
    assert found["tether/displacement"] == pytest.approx(float(body.detach().sqrt()), rel=1e-5)
    assert found["tether/new_norm"] == pytest.approx(float(head.detach().sqrt()), rel=1e-5)
    assert found["tether/steps_acted"] == 0

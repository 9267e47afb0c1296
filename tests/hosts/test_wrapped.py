"""What hosts and adapters do to a model, and what a tether says to it."""

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError, HooksLost, PlanError
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).relu())


def adapted() -> nn.Module:
    return get_peft_model(Net(), LoraConfig(target_modules=["body"], modules_to_save=["head"], r=2))


def step(model: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()
    model(torch.ones(2, 5)).square().sum().backward()
    optimizer.step()


def test_lora_factors_are_refused_by_name():
    model = adapted()
    with pytest.raises(PlanError, match=r"holds 2 LoRA factors one by one: .*lora_A") as refused:
        Tether(model, Anchor.of(model), Plan(L2(0.1)))
    assert "product BA" in refused.value.why
    assert "lora_" in refused.value.fix


def test_beside_lora_the_rest_is_held_and_the_frozen_base_listed():
    model = adapted()
    leash = Tether(model, Anchor.of(model), Plan(L2(0.1), overrides={"*lora_*": None}))
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    leash.attach(optimizer)
    step(model, optimizer)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"
    screen = str(leash)
    assert "frozen, and so without a pull" in screen
    assert "left free by the plan" in screen


def test_a_merged_adapter_is_held_whole():
    model = adapted()
    merged = model.merge_and_unload()
    for p in merged.parameters():
        p.requires_grad_(True)
    leash = Tether(merged, Anchor.of(merged), Plan(L2(0.1)))
    optimizer = torch.optim.SGD(merged.parameters(), lr=0.1)
    leash.attach(optimizer)
    step(merged, optimizer)
    assert {part.name for part in leash.parts} == {name for name, _ in merged.named_parameters()}
    assert leash.steps_acted == 1


def test_accelerate_steps_the_very_optimiser_and_a_copy_of_it_raises():
    from accelerate import Accelerator

    model = Net()
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.1))).attach(plain)
    prepared, optimizer = Accelerator(cpu=True).prepare(model, plain)
    step(prepared, optimizer)
    assert leash.steps_acted == 1
    with pytest.raises(HooksLost):
        step(prepared, copy.deepcopy(plain))


def test_a_compiled_model_is_held_by_its_own_names():
    model = torch.compile(Net(), backend="eager")
    leash = Tether(model, Anchor.of(model, new="head.*"), Plan(L2(0.1), L2(0.1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer)
    step(model, optimizer)
    assert [part.name for part in leash.parts] == ["body.weight", "body.bias", "head.weight", "head.bias"]
    assert leash.steps_acted == 1


def test_a_module_put_in_after_the_tether_was_made_is_found_when_attaching():
    model = Net()
    leash = Tether(model, Anchor.of(model), Plan(L2(0.1)))
    model.head = nn.Linear(8, 4)
    with pytest.raises(AttachError, match=r"in no group of this optimiser: `head.weight`, `head.bias`"):
        leash.attach(torch.optim.SGD(model.parameters(), lr=0.1))


def test_bfloat16_weights_are_pulled_or_refused():
    from tether.errors import PullBelowPrecision

    model = Net().to(torch.bfloat16)
    anchor = Anchor.of(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with pytest.raises(PullBelowPrecision, match="bfloat16"):
        Tether(model, anchor, Plan(L2(1e-5))).attach(optimizer)
    leash = Tether(model, anchor, Plan(L2(1.0))).attach(optimizer)
    before = float(leash.value().detach())
    for _ in range(20):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    leash.flush()
    # twenty shrinks by 1/1.01, gathered into a few, with weights of three digits
    assert float(leash.value().detach()) == pytest.approx(before / 1.01**40, rel=0.1)

"""After an audit, every bit is as it was."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tether.anchor import Anchor
from tether.audit.snapshot import unchanged
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import l2_sp

BATCH = (torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3)
PLANS = {
    "gradient": l2_sp(),
    "prox": Plan(L2(0.1), L2(0.01)),
    "gathered": Plan(L2(1e-5).toward("zero"), L2(1e-5)),
}
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "AdamW": lambda model: torch.optim.AdamW(model.parameters(), weight_decay=0.0),
    "tensor lr": lambda model: torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-3)),
}


class Net(nn.Module):
    """Everything that a pass or a step may change: dropout, running statistics, and a buffer that is assigned."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls = self.calls + random.random() + float(np.random.rand())
        return self.head(self.dropout(self.norm(self.body(inputs))))


def made(plan: Plan, name: str, *, attach: bool = True) -> tuple[Net, torch.optim.Optimizer, Tether]:
    model = Net()
    optimizer = OPTIMIZERS[name](model)
    leash = Tether(model, Anchor.of(model, new="head.*"), plan)
    if attach:
        leash.attach(optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(BATCH[0]), BATCH[1]).backward()
            optimizer.step()
    functional.cross_entropy(model(BATCH[0]), BATCH[1]).backward()  # and a gradient that no step has used
    return model, optimizer, leash


def bits(thing: Any) -> Any:
    """A value to compare, down to the bits of every tensor."""
    if isinstance(thing, Tensor):
        return id(thing), str(thing.dtype), thing.detach().clone().flatten().view(torch.uint8).tolist()
    if isinstance(thing, dict):
        return [(id(key) if isinstance(key, Tensor) else key, bits(value)) for key, value in thing.items()]
    return [bits(item) for item in thing] if isinstance(thing, list | tuple) else thing


def everything(model: nn.Module, optimizer: torch.optim.Optimizer, leash: Tether) -> Any:
    hooks = [optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks]
    layers = [(m.training, list(m._forward_hooks), list(m._forward_pre_hooks)) for m in model.modules()]
    attached = leash.attachment
    pulled = [attached.seen, attached.acted, attached._waiting] if attached else []
    gathered = [dict(vars(attached.gathering))] if attached else []
    numpy = np.random.get_state()
    return [
        bits(dict(model.named_parameters())),
        bits({name: (value, id(value)) for name, value in model.named_buffers()}),
        bits([p.grad for p in model.parameters()]),
        [id(optimizer.state), bits(dict(optimizer.state))],
        [id(group) for group in optimizer.param_groups],
        bits(optimizer.param_groups),
        sorted(vars(optimizer)),
        [list(kind.items()) for kind in hooks],
        layers,
        pulled,
        [{name: list(value.items()) for name, value in one.items()} for one in gathered],
        [leash._history, leash.steps_seen, leash.steps_acted],
        [(id(part.reference), part.copied) for part in leash.parts],
        torch.get_rng_state().tolist(),
        random.getstate(),
        [numpy[0], numpy[1].tolist(), *numpy[2:]],
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_an_audit_changes_no_bit(plan: Plan, name: str) -> None:
    model, optimizer, leash = made(plan, name)
    before = everything(model, optimizer, leash)
    found = leash.audit(optimizer, BATCH, batchnorm="update")
    assert found.passed, found
    assert everything(model, optimizer, leash) == before


def test_an_audit_without_an_attached_tether_changes_no_bit() -> None:
    model, optimizer, leash = made(l2_sp(), "AdamW", attach=False)
    before = everything(model, optimizer, leash)
    leash.audit(optimizer, BATCH, batchnorm="update")
    assert not optimizer.state
    assert everything(model, optimizer, leash) == before


class Fault(Exception):
    pass


@pytest.mark.parametrize("call", range(1, 3))
@pytest.mark.parametrize("within", ["the layers", "the loss"])
def test_an_audit_that_raises_changes_no_bit(call: int, within: str) -> None:
    model, optimizer, leash = made(PLANS["gathered"], "AdamW")
    calls = 0

    def fault(*_: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Fault
        return functional.cross_entropy(*_) if within == "the loss" else None

    handle = model.dropout.register_forward_hook(fault) if within == "the layers" else None
    before = everything(model, optimizer, leash)
    with pytest.raises(Fault):
        leash.audit(optimizer, BATCH, loss=fault if within == "the loss" else functional.cross_entropy)
    assert everything(model, optimizer, leash) == before
    assert torch.is_grad_enabled()
    if handle is not None:
        handle.remove()


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_a_hook_of_the_users_that_raises_in_the_step_changes_no_bit(kind: str) -> None:
    model, optimizer, leash = made(PLANS["prox"], "SGD")

    def fault(*_: Any) -> None:
        raise Fault

    getattr(optimizer, f"register_step_{kind}_hook")(fault)
    before = everything(model, optimizer, leash)
    with pytest.raises(Fault):
        leash.audit(optimizer, BATCH, batchnorm="update")
    assert everything(model, optimizer, leash) == before


def test_an_audit_in_the_middle_of_a_run_leaves_the_run_as_it_was() -> None:
    ends = []
    for audited in (False, True):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        model, optimizer, leash = made(PLANS["gathered"], "AdamW")
        for _ in range(20):
            if audited:
                leash.audit(optimizer, BATCH, batchnorm="update")
            optimizer.zero_grad()
            functional.cross_entropy(model(BATCH[0]), BATCH[1]).backward()
            optimizer.step()
        ends.append(({name: value.clone() for name, value in model.state_dict().items()}, leash.state_dict()))
    (plain, counted), (audited_too, also) = ends
    assert all(torch.equal(value, audited_too[name]) for name, value in plain.items())
    assert counted == also


def test_what_is_gathered_for_each_value_is_as_it_was() -> None:
    weak = Plan(L2(1e-6).toward("zero"), L2(1e-6), metric="optimizer")
    _, optimizer, leash = made(weak, "AdamW")
    assert leash.attachment is not None
    gathered = leash.attachment.gathering.collected
    before = {part: total.clone() for part, total in gathered.items()}
    assert any(bool(total.any()) for total in before.values())
    with unchanged(leash, optimizer):
        optimizer.step()
        leash.flush()
    assert leash.attachment.gathering.collected is gathered
    assert all(torch.equal(gathered[part], total) for part, total in before.items())


def test_a_scaler_is_as_it_was() -> None:
    model, optimizer, leash = made(l2_sp(), "AdamW")
    scaler = torch.amp.GradScaler("cpu")
    with unchanged(leash, optimizer, scaler):
        scaler.scale(model(BATCH[0]).sum()).backward()
        scaler.step(optimizer)
    assert scaler._scale is None
    assert not scaler._per_optimizer_states

"""An attachment: its pulls act in the steps of one optimiser, and are counted. What it refuses: laws/test_refusals."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError, DoubleDecay, UnknownStep
from tether.hooks import unwrap
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import differential_l2

both_ways = pytest.mark.parametrize("via", ["gradient", "prox"])


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def tether(model: nn.Module, *, strength: float = 0.5) -> Tether:
    return Tether(model, Anchor.of(model, new="1.*"), Plan(L2(strength), L2(0.1)))


def step(model: nn.Module, optimizer: Any) -> None:
    optimizer.zero_grad()
    model(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def displaced(model: nn.Module) -> None:
    for p in model.parameters():
        p.detach().add_(0.1)


class Wrapper:
    """As Fabric's: not an optimiser itself, and it has one."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer


class Accelerated(torch.optim.Optimizer):
    """As Accelerate's: an optimiser by class, whose own hooks never fire."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.param_groups = optimizer.param_groups

    def step(self, closure: Any = None) -> Any:
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)


@pytest.mark.parametrize("kind", [Wrapper, Accelerated], ids=lambda kind: kind.__name__)
def test_a_wrapped_optimiser_is_unwrapped(kind: Any):
    inner = torch.optim.SGD(net().parameters(), lr=0.1)
    assert unwrap(kind(inner)) is inner
    assert unwrap(inner) is inner


def test_the_steps_of_a_wrapper_are_pulled():
    model = net()
    wrapped = Accelerated(torch.optim.SGD(model.parameters(), lr=0.1))
    leash = tether(model).attach(wrapped)
    step(model, wrapped)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"


def test_accelerates_optimiser_is_unwrapped_and_its_steps_are_pulled():
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    accelerator = accelerate.Accelerator(cpu=True)
    model = net()
    wrapped = accelerator.prepare(torch.optim.SGD(model.parameters(), lr=0.1))
    leash = tether(model).attach(wrapped)
    step(model, wrapped)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"


def test_what_is_no_optimiser_is_refused():
    with pytest.raises(AttachError, match="`object` is not a torch optimiser"):
        tether(net()).attach(object())


@both_ways
def test_without_a_gradient_there_is_no_pull(via: str):
    model = net()
    leash = tether(model)
    displaced(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer, via=via)
    before = values(model)
    optimizer.step()
    assert all(map(torch.equal, values(model), before))
    assert leash.acted_on == "the penalty acted on 0 of 1 steps"
    model[1].weight.grad = torch.zeros(2, 3)
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(values(model), before, strict=True)]
    assert moved == [False, False, True, False]
    assert leash.acted_on == "the penalty acted on 1 of 2 steps"


@both_ways
def test_a_pull_alone_moves_by_the_textbook_amount(via: str):
    model = net()
    leash = tether(model, strength=0.5)
    start = values(model)
    displaced(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer, via=via)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    shrink = {"gradient": 1 - 0.1 * 0.5, "prox": 1 / (1 + 0.1 * 0.5)}[via]
    torch.testing.assert_close(model[0].weight.detach(), start[0] + 0.1 * shrink)


@both_ways
def test_each_group_has_its_own_rate_and_it_is_read_each_step(via: str):
    model = net()
    leash = tether(model, strength=0.5)
    start = values(model)
    displaced(model)
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters(), "lr": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    leash.attach(optimizer, via=via)
    expected = torch.full((3, 4), 0.1)
    for rate in (0.1, 0.2, 0.4):
        optimizer.param_groups[0]["lr"] = rate
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        expected *= 1 - rate * 0.5 if via == "gradient" else 1 / (1 + rate * 0.5)
    torch.testing.assert_close(model[0].weight.detach() - start[0], expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(model[1].weight.detach(), start[2] + 0.1)


def test_maximize_subtracts():
    model = net()
    leash = tether(model)
    displaced(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, maximize=True)
    leash.attach(optimizer, via="gradient")
    before = float(leash.value())
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert float(leash.value()) < before


def test_detach_stops_it():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = tether(model).attach(optimizer, via="gradient")
    step(model, optimizer)
    leash.detach()
    step(model, optimizer)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"
    leash.attach(optimizer)
    step(model, optimizer)
    assert leash.acted_on == "the penalty acted on 2 of 2 steps"


def test_attaching_that_is_refused_leaves_the_tether_where_it_was():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = tether(model).attach(optimizer)
    with pytest.raises(DoubleDecay):
        leash.attach(torch.optim.AdamW(model.parameters()))
    step(model, optimizer)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"


def test_attaching_again_moves_the_tether():
    model = net()
    first, second = (torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2))
    leash = tether(model).attach(first).attach(second)
    step(model, second)
    assert leash.steps_acted == 1


@pytest.mark.parametrize("kind", [torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.Rprop, torch.optim.ASGD])
def test_where_no_step_is_right_the_gradient_acts(kind: Any):
    model = net()
    optimizer = kind(model.parameters(), **({"lambd": 0.0} if kind is torch.optim.ASGD else {}))
    with pytest.raises(UnknownStep):
        tether(model).attach(optimizer, via="prox")
    leash = tether(model).attach(optimizer, via="gradient")
    step(model, optimizer)
    assert leash.steps_acted == 1


def test_lbfgs_is_refused_by_prox():
    model = net()
    with pytest.raises(UnknownStep, match="many steps in one"):
        tether(model).attach(torch.optim.LBFGS(model.parameters()), via="prox")


def test_a_scheduler_made_after_it_makes_no_difference():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = tether(model).attach(optimizer)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for _ in range(3):
        step(model, optimizer)
        scheduler.step()
    step(model, optimizer)
    assert leash.acted_on == "the penalty acted on 3 of 4 steps"  # the rate of the last is 0


def test_one_cycle_is_judged_by_its_highest_rate():
    model = net().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=100, div_factor=1e6)
    tether(model, strength=0.1).attach(optimizer, via="prox")


@pytest.mark.parametrize("kind", [L1(1.0), L2(0.5)], ids=repr)
def test_a_channels_last_model_is_pulled_like_any_other(kind: Any):
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Conv2d(40, 50, 7).to(memory_format=layout)
        leash = Tether(model, Anchor.of(model), Plan(kind))
        displaced(model)
        for via in ("gradient", "prox"):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            leash.attach(optimizer, via=via)
            for p in model.parameters():
                p.grad = torch.zeros_like(p)
            optimizer.step()
            leash.detach()
        ends.append(model.weight.detach().contiguous())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-7)


def test_the_articles_preset_attaches_to_a_plain_adam():
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    leash = Tether(model, Anchor.of(model, new="1.*"), differential_l2()).attach(optimizer)
    assert leash.attachment is not None
    assert leash.attachment.via == "gradient"


def test_a_word_that_is_no_way_with_decay_is_refused():
    model = net()
    with pytest.raises(AttachError, match="own_decay='remove'"):
        tether(model).attach(torch.optim.SGD(model.parameters(), lr=0.1), own_decay="remove")

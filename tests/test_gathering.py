"""A pull that would round away is delivered: what float32 does is compared with the same run in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import PullBelowPrecision
from tether.gathering import MOST_STEPS, Gathering
from tether.held import Held
from tether.penalties.frozen import Frozen
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.pull import Pull

STEPS = 2000


def part(dtype: torch.dtype = torch.float32, pull: Pull | None = None) -> Held:
    parameter = nn.Parameter(torch.randn(200).to(dtype))
    return Held("w", "transferred", parameter, pull or Pull(L2(1e-5), "zero"), None)


class Flat(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())


def drift(
    dtype: torch.dtype, reference: str, strength: float | None, *, warm_up: str = "", tensor: bool = False
) -> Tensor:
    """Adam on a loss that keeps the weights about where they start; the displacement from the reference at the end."""
    generator = torch.Generator().manual_seed(3)
    source = torch.randn(4000, generator=generator, dtype=torch.float64)
    model = Flat(source.to(dtype))
    anchor = Anchor.of(model)
    start = source + (0.2 * torch.randn(4000, generator=generator, dtype=torch.float64) if reference == "source" else 0)
    model.weight.detach().copy_(start.to(dtype))
    lr: Any = 0.0 if warm_up == "by hand" else torch.tensor(1e-3) if tensor else 1e-3
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, foreach=False)
    ramp = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, t / 400)) if warm_up == "scheduled" else None
    leash = None
    if strength is not None:
        leash = Tether(model, anchor, Plan(L2(strength).toward(reference))).attach(optimizer, via="prox")
    signs = torch.randn(2, 4000, generator=generator, dtype=torch.float64).sign().to(dtype)
    for t in range(STEPS):
        if warm_up == "by hand":
            optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, t / 400)
        model.weight.grad = signs[0] * (1 if t % 2 else -1)
        optimizer.step()
        if ramp is not None:
            ramp.step()
    if leash is not None:
        leash.flush()
    return model.weight.detach().double() - (source if reference == "source" else 0)


def shrink(dtype: torch.dtype, reference: str, strength: float, **how: Any) -> float:
    """The share of the displacement that the pull took, against the same run without it."""
    free = drift(dtype, reference, None, **{key: value for key, value in how.items() if key != "tensor"})
    pulled = drift(dtype, reference, strength, **how)
    return float(((free - pulled) * free).sum() / free.square().sum())


@pytest.mark.parametrize("reference", ["zero", "source"])
@pytest.mark.parametrize("warm_up", ["", "scheduled", "by hand"])
def test_a_pull_of_1e_8_a_step_is_delivered_in_float32(reference: str, warm_up: str):
    exact = shrink(torch.float64, reference, 1e-5, warm_up=warm_up)
    assert exact == pytest.approx(2e-5 if not warm_up else 1.8e-5, rel=0.02)  # 2,000 steps of 1e-8, less the warm-up
    assert shrink(torch.float32, reference, 1e-5, warm_up=warm_up) == pytest.approx(exact, rel=0.1)


def test_a_tensor_rate_gathers_too():
    exact = shrink(torch.float64, "zero", 1e-5)
    assert shrink(torch.float32, "zero", 1e-5, tensor=True) == pytest.approx(exact, rel=0.1)


def test_without_gathering_it_would_not_act():
    weight = torch.randn(4000)
    pulled = weight.clone()
    for _ in range(STEPS):
        L2(1e-5).prox_([pulled], None, 1e-3)
    assert torch.equal(pulled, weight)


def test_a_pull_that_acts_by_itself_is_not_gathered():
    gathering, held = Gathering(), part(pull=Pull(L2(0.1), "zero"))
    gathering.settle(held, 1e-2)
    assert gathering.every[held] == 1
    assert gathering.collect(held, 1e-2) == 1e-2
    assert gathering.collected[held] == 0


def test_it_is_the_size_of_the_steps_that_is_added_up():
    gathering, held = Gathering(), part()
    gathering.settle(held, 1e-3)
    every = gathering.every[held]
    assert 2 < every < MOST_STEPS
    due = [float(gathering.collect(held, 1e-3)) for _ in range(every)]
    assert due[:-1] == [0.0] * (every - 1)
    assert due[-1] == pytest.approx(every * 1e-3)
    halves = [float(gathering.collect(held, 5e-4)) for _ in range(2 * every)]
    assert sum(halves) == pytest.approx(every * 1e-3)
    assert sum(step > 0 for step in halves) == 1


@pytest.mark.parametrize("number", [float, torch.tensor], ids=["float", "tensor"])
def test_nothing_of_what_is_collected_is_lost(number: Any):
    gathering, held = Gathering(), part()
    gathering.settle(held, 1e-3)
    given = [1e-3 * (i % 7) / 7 for i in range(500)]
    delivered = sum(float(gathering.collect(held, number(step))) for step in given)
    taken = sum(float(step) for _, step in gathering.take())
    assert delivered + taken + float(gathering.collected[held]) == pytest.approx(sum(given), rel=1e-4)


def test_toward_the_source_more_is_gathered_since_displacements_are_smaller():
    gathering = Gathering()
    to_zero, to_source = part(), part(pull=Pull(L2(1e-5), "source"))
    for held in (to_zero, to_source):
        gathering.settle(held, 1e-2)
    assert gathering.every[to_source] > gathering.every[to_zero]


def test_bfloat16_that_cannot_act_is_refused():
    with pytest.raises(PullBelowPrecision, match=r"`w` rounds to nothing in torch.bfloat16"):
        Gathering().settle(part(torch.bfloat16), 1e-3)
    Gathering().settle(part(torch.bfloat16, Pull(L2(0.1), "zero")), 1e-3)


def test_where_the_rate_is_not_known_yet_nothing_is_refused():
    Gathering().settle(part(torch.bfloat16), 0.0)


def test_a_constraint_acts_in_every_step_however_small():
    gathering, frozen = Gathering(), part(pull=Pull(Frozen(), "source"))
    gathering.settle(frozen, 1e-3)
    assert gathering.collect(frozen, 1e-12) == 1e-12


def test_a_small_threshold_on_a_head_that_starts_at_zero_is_gathered():
    weight = nn.Parameter(torch.zeros(10, 64))
    optimizer = torch.optim.SGD([weight], lr=1e-3)
    model = nn.ParameterList([weight])
    leash = Tether(model, Anchor.of(model, new="*"), Plan(new=L1(1e-6))).attach(optimizer)
    weight.data.fill_(0.27)
    for _ in range(5000):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert float((0.27 - weight.detach()).mean()) == pytest.approx(5000 * 1e-9, rel=0.05)
    assert leash.steps_acted > 4500


def test_a_rate_that_falls_after_it_was_attached_is_gathered_then():
    ends = {}
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        model = Flat(torch.randn(500).to(dtype))
        start = next(model.parameters()).detach().clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        Tether(model, Anchor.of(model), Plan(L2(1e-5).toward("zero"))).attach(optimizer)
        optimizer.param_groups[0]["lr"] = 1e-3
        for p in model.parameters():
            for _ in range(2000):
                p.grad = torch.zeros_like(p)
                optimizer.step()
            ends[dtype] = float(((start - p.detach()) / start).mean())
    assert ends[torch.float32] == pytest.approx(ends[torch.float64], rel=0.1)


def test_what_cannot_act_yet_stays_when_it_is_flushed_and_is_not_counted():
    torch.manual_seed(0)
    model = Flat(torch.randn(500))
    start = next(model.parameters()).detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    leash = Tether(model, Anchor.of(model), Plan(L2(1e-5).toward("zero"))).attach(optimizer)
    for count in range(1, 2001):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        leash.flush()
        if count == 20:
            assert leash.acted_on == "the penalty acted on 0 of 20 steps"
            assert torch.equal(next(model.parameters()), start)
    moved = float(((start - next(model.parameters()).detach()) / start).mean())
    assert moved == pytest.approx(2000 * 1e-8, rel=0.1)
    assert 1900 < leash.steps_acted <= 2000


def test_parts_without_a_gradient_now_and_then_get_their_pull():
    """Steps are counted by part: one that has a gradient on odd steps only must not miss every k-th."""
    models = {}
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        model = Flat(torch.randn(500).to(dtype))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        leash = Tether(model, Anchor.of(model), Plan(L2(1e-4).toward("zero"))).attach(optimizer)
        assert leash.attachment is not None
        for t in range(400):
            model.weight.grad = torch.zeros_like(model.weight) if t % 2 else None
            optimizer.step()
        leash.flush()
        models[dtype] = model.weight.detach().double()
    start = Flat(models[torch.float64]).weight.detach() * (1 + 1e-7) ** 200
    taken = float((start - models[torch.float32]).mul(start).sum() / start.square().sum())
    assert taken == pytest.approx(2e-5, rel=0.1)


def test_toward_a_source_displacements_below_the_precision_of_a_thousand_steps_stay():
    """docs/maths.md says so: 1e-5 of a displacement of 1e-6 is far below half an ulp of a weight of 1."""
    model = Flat(torch.ones(3))
    anchor = Anchor.of(model)
    model.weight.detach().add_(torch.tensor([1e-6, 1e-4, 0.5]))
    start = model.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    leash = Tether(model, anchor, Plan(L2(1e-5))).attach(optimizer)
    for _ in range(MOST_STEPS):
        model.weight.grad = torch.zeros(3)
        optimizer.step()
    leash.flush()
    assert (model.weight.detach() != start).tolist() == [False, False, True]

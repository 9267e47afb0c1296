import math

import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import PlanError
from tether.penalties.ball import FrobeniusBall
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.schedule import Annealing, Constant, Cosine, Schedule


@pytest.mark.parametrize("schedule", [Constant(), Cosine(50), Cosine(50, end=0.2), Annealing(0.2, 25)], ids=repr)
def test_a_factor_is_a_share_and_never_rises(schedule: Schedule):
    factors = [schedule.factor(t) for t in range(200)]
    assert all(0 <= f <= 1 for f in factors)
    assert factors == sorted(factors, reverse=True)
    assert factors[0] == pytest.approx(1.0, abs=0.01)


def test_the_cosine_is_the_learning_rates():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.1)
    ours = Cosine(40, end=0.1)
    for t in range(40):
        assert ours.factor(t) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_recadams_annealing_is_one_minus_the_sigmoid():
    for t in (0, 100, 250, 400, 10**6):
        lam = 1 / (1 + math.exp(-0.05 * (t - 250)))
        assert Annealing(0.05, 250).factor(t) == pytest.approx(1 - lam, abs=1e-12)


@pytest.mark.parametrize("make", [lambda: Cosine(0), lambda: Cosine(2.5), lambda: Cosine(5, end=2)])
def test_a_cosine_that_is_none_is_refused(make):
    with pytest.raises(PlanError, match="Cosine"):
        make()


@pytest.mark.parametrize("make", [lambda: Annealing(0, 5), lambda: Annealing(math.nan, 5), lambda: Annealing(1, -1)])
def test_an_annealing_that_is_none_is_refused(make):
    with pytest.raises(PlanError, match="Annealing"):
        make()


def test_a_constraint_has_no_strength_to_schedule():
    with pytest.raises(PlanError, match="no strength that a schedule could change"):
        FrobeniusBall(1.0).toward("source", Cosine(10))
    with pytest.raises(PlanError, match="no schedule"):
        L2(1.0).toward("source", 0.5)


@pytest.mark.parametrize("via", ["gradient", "prox"])
def test_each_step_is_pulled_with_its_own_strength(via: str):
    schedule, strength, lr = Cosine(6, end=0.25), 0.5, 0.1
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    start = model.weight.detach().clone()
    leash = Tether(model, Anchor.of(model), Plan(L2(strength).toward("source", schedule)))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    leash.attach(optimizer, via=via)
    expected, x = start.clone(), torch.randn(6, 3, dtype=torch.float64)
    for t in range(6):
        optimizer.zero_grad()
        model(x[t]).sum().backward()
        now = strength * schedule.factor(t)
        if via == "gradient":
            expected = expected - lr * (x[t] + now * (expected - start))
        else:
            stepped = expected - lr * x[t]
            expected = start + (stepped - start) / (1 + lr * now)
        before = float((model.weight.detach() - start).square().sum())
        assert float(leash.value().detach()) == pytest.approx(now / 2 * before)
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), expected, rtol=1e-12, atol=1e-14)


def test_a_schedule_goes_on_after_a_detach_and_a_resume():
    model = nn.Linear(3, 1, bias=False)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5).toward("zero", Cosine(10))))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(3)).sum().backward()
            optimizer.step()

    def strength_now() -> float:
        return float(leash.value().detach() / (model.weight.detach().square().sum() / 2))

    steps(3)
    leash.detach()
    leash.attach(optimizer)
    assert strength_now() == pytest.approx(0.5 * Cosine(10).factor(3))
    steps(2)
    state = leash.state_dict()
    leash.detach()
    leash = Tether(model, Anchor.of(model), leash.plan)
    leash.attach(optimizer)
    leash.load_state_dict(state)
    assert leash.steps_seen == 5
    assert strength_now() == pytest.approx(0.5 * Cosine(10).factor(5))
    before = model.weight.detach().clone()
    optimizer.zero_grad()
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before / (1 + 0.1 * 0.5 * Cosine(10).factor(5)))


def test_the_summary_and_the_plan_name_the_schedule():
    model = nn.Linear(3, 1, bias=False)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.5).toward("source", Cosine(10))))
    assert "L2(0.5) × Cosine(steps=10, end=0.0)" in str(leash)
    assert "L2(0.5) × Cosine(steps=10, end=0.0)" in str(leash.plan)

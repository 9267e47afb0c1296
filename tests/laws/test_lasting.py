"""What must hold through subclasses, skipped steps, detaching, narrow dtypes and references that could move."""

from typing import Any

import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError, PlanError, PullBelowPrecision
from tether.penalties.ball import FrobeniusBall
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.weighted import Weighted

both_ways = pytest.mark.parametrize("via", ["gradient", "prox"])


def one(value: float = 1.0, dtype: torch.dtype = torch.float32) -> nn.Module:
    model = nn.Linear(1, 1, bias=False, dtype=dtype)
    nn.init.constant_(model.weight, value)
    return model


def still(model: nn.Module, optimizer: Any, steps: int = 1) -> None:
    """Steps that nothing but a pull moves."""
    for _ in range(steps):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()


class Clipped(torch.optim.SGD):
    """An optimiser whose step calls its parent's, to which torch gives hooks as well once one has been made."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@both_ways
def test_a_subclass_that_calls_its_parents_step_is_pulled_once(via: str):
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    model = one()
    optimizer = Clipped(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward("zero")))
    leash.attach(optimizer, via=via, step=0.1)
    still(model, optimizer)
    assert model.weight.item() == pytest.approx(0.9 if via == "gradient" else 1 / 1.1)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"


def test_a_step_that_raises_is_begun_anew():
    model = one()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward("zero"))).attach(optimizer)
    optimizer.param_groups[0]["weight_decay"] = 0.1
    with pytest.raises(AttachError):
        still(model, optimizer)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    still(model, optimizer)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"


@both_ways
def test_a_step_that_raises_within_does_not_switch_the_later_ones_off(via: str):
    def failing() -> None:
        raise RuntimeError("no batch")

    model = one()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward("zero"))).attach(optimizer, via=via)
    with pytest.raises(RuntimeError, match="no batch"):
        optimizer.step(failing)
    still(model, optimizer)
    assert model.weight.item() == pytest.approx(0.9 if via == "gradient" else 1 / 1.1)
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_skipped_first_step_leaves_no_nan_behind(kind: Any):
    ends = []
    for skipped in (True, False):
        model = one()
        optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.0, fused=True)
        leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward("zero"), metric="optimizer"))
        leash.attach(optimizer)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)
        for step in range(5 if skipped else 4):
            optimizer.zero_grad()
            worst = torch.inf if skipped and step == 0 else 1.0
            scaler.scale(0.5 * worst * model.weight.sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        assert leash.steps_acted == 4
        ends.append(model.weight.item())
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)
    assert ends[0] < 0.89  # without the pull .96


def test_what_rounds_away_beside_a_constraint_is_refused():
    model = one()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with pytest.raises(PullBelowPrecision):
        Tether(model, Anchor.of(model), Plan((L2(1e-5) + FrobeniusBall(9.0)).toward("zero"))).attach(optimizer)
    leash = Tether(model, Anchor.of(model), Plan((L2(1.0) + FrobeniusBall(9.0)).toward("zero"))).attach(optimizer)
    still(model, optimizer)
    assert model.weight.item() == pytest.approx(1 / 1.001)
    assert leash.steps_acted == 1


def test_in_bfloat16_what_is_gathered_by_value_goes_on_growing():
    ends = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = one(dtype=dtype)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        leash = Tether(model, Anchor.of(model), Plan(L2(0.1).toward("zero"), metric="optimizer")).attach(optimizer)
        for step in range(3000):
            model.weight.grad = torch.full_like(model.weight, 4.0 if step % 2 else -4.0)
            optimizer.step()
        leash.flush()
        ends[dtype] = model.weight.item()
    assert ends[torch.float32] < 0.94
    assert ends[torch.bfloat16] == pytest.approx(ends[torch.float32], abs=0.02)


@pytest.mark.parametrize("lr", [1e-3, torch.tensor(1e-3)], ids=["float", "tensor"])
def test_a_step_counts_once_something_has_come_of_it(lr: Any):
    model = one()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    leash = Tether(model, Anchor.of(model), Plan(L2(1e-5).toward("zero"))).attach(optimizer)
    still(model, optimizer, 20)
    assert (model.weight.item(), leash.steps_acted) == (1.0, 0)
    still(model, optimizer, 60)
    assert model.weight.item() < 1.0
    assert 0 < leash.steps_acted <= 80


@pytest.mark.parametrize("make", ["weights", "anchor"])
def test_live_weights_are_copied_and_do_not_move_with_the_model(make: str):
    model = one()
    alive = model.state_dict()
    if make == "weights":
        leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward(alive)))
    else:
        leash = Tether(model, Anchor(alive, {}), Plan(L2(1.0)))
    with torch.no_grad():
        model.weight.add_(2.0)
    assert float(leash.value().detach()) == pytest.approx(2.0)
    if make == "anchor":
        assert leash.log()["tether/displacement"] == pytest.approx(2.0)


def test_what_is_gathered_outlives_a_detach_a_load_and_a_refused_attach():
    ends = {}
    for how in ("never", "detach", "load", "refused"):
        model = one()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        leash = Tether(model, Anchor.of(model), Plan(L2(1e-5).toward("zero"))).attach(optimizer)
        for _ in range(50):
            still(model, optimizer, 40)
            if how == "detach":
                leash.detach()
                leash.attach(optimizer)
            if how == "load":
                state = leash.state_dict()
                leash.detach()
                leash = Tether(model, leash.anchor, leash.plan)
                leash.load_state_dict(state)
                leash.attach(optimizer)
            if how == "refused":
                with pytest.raises(PlanError):
                    leash.attach(optimizer, via="sideways")
                with pytest.raises(KeyError):
                    leash.attach(optimizer, step=lambda group: group["rate"])
        assert leash.steps_seen == 2000
        assert leash.steps_acted > 1800
        ends[how] = model.weight.item()
    assert ends["never"] == pytest.approx(1 - 2e-5, abs=2e-6)
    assert all(end == pytest.approx(ends["never"], abs=2e-6) for end in ends.values())


def test_a_state_taken_while_detached_still_has_what_is_gathered():
    model = one()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    leash = Tether(model, Anchor.of(model), Plan(L2(1e-5).toward("zero"))).attach(optimizer)
    still(model, optimizer, 20)
    gathered = leash.state_dict()["gathered"]
    leash.detach()
    assert leash.state_dict()["gathered"] == gathered != {}


def test_importances_too_small_for_the_weights_dtype_still_weigh():
    model = one(2.0, torch.float16)
    importance = {"weight": torch.full((1, 1), 1e-8)}
    plan = Plan(Weighted(1e6, importance).toward("zero"), via="gradient")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    Tether(model, Anchor.of(model), plan).attach(optimizer)
    still(model, optimizer)
    assert model.weight.item() == pytest.approx(2.0 - 0.02, abs=2e-3)


def test_an_importance_of_zero_pulls_nothing_and_is_no_error():
    model = one()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(Weighted(1.0, {"weight": torch.zeros(1, 1)})))
    leash.attach(optimizer, via="prox")
    still(model, optimizer)
    assert model.weight.item() == 1.0


def test_a_reference_keeps_its_digits_through_a_narrower_dtype():
    model = one(1 / 3)
    leash = Tether(model, Anchor.of(model), Plan(L2(1.0)))
    model.half()
    leash.log()
    model.float()
    model.weight.data.fill_(1 / 3)
    assert float(leash.value().detach()) == 0.0


def test_a_reference_is_found_by_the_models_own_name_first():
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.module = nn.Parameter(torch.zeros(1)), one()

    model = Inner()
    reference = {"weight": torch.full((1,), 1.0), "module.weight": torch.full((1, 1), 2.0)}
    leash = Tether(model, Anchor.of(model), Plan(L2(2.0).toward(reference)))
    assert float(leash.value().detach()) == pytest.approx((0 - 1) ** 2 + (1 - 2) ** 2)


def test_new_rows_held_to_their_own_start_are_refused_whatever_the_others_are():
    model = nn.Linear(2, 3, bias=False)
    rows = torch.tensor([False, False, True])
    anchor = Anchor({"weight": torch.zeros(3, 2)}, {"weight": rows})
    other = {"weight": torch.where(rows[:, None], model.weight.detach(), 5.0)}
    with pytest.raises(PlanError, match="to its own start"):
        Tether(model, anchor, Plan(new=L2(1.0).toward(other)))

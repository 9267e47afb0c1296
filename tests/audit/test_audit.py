"""An audit: what is right passes, and each fault fails in its own row."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tether.anchor import Anchor
from tether.audit.audit import audit
from tether.audit.result import Audit
from tether.binding import Tether
from tether.errors import AttachError, Diverged, SettingsError
from tether.gathering import Gathering
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import differential_l2, frozen, l1_sp, l2_sp, none
from tether.penalties.schedule import Cosine
from tether.penalties.weighted import Weighted

Made = tuple[nn.Module, torch.optim.Optimizer, Tether]
INPUTS, TARGETS = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3
BATCH = (INPUTS, TARGETS)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(INPUTS), TARGETS).backward()
        optimizer.step()


def made(plan: Plan, make: Callable[[nn.Module], Any] = sgd, *, model: nn.Module | None = None) -> Made:
    model = net() if model is None else model
    optimizer = make(model)
    leash = Tether(model, Anchor.of(model, new="2.*"), plan).attach(optimizer)
    trained(model, optimizer)
    return model, optimizer, leash


def failed(found: Audit) -> set[tuple[str, str]]:
    return {(row.check, row.about) for row in found.failed}


def delivered(found: Audit) -> dict[str, str]:
    return {row.about: row.measured for row in found.rows if row.check == "pull delivered"}


IMPORTANCE = {name: torch.rand_like(p) for name, p in net().named_parameters()}
PLANS = {
    "l2_sp": l2_sp(),
    "differential_l2": differential_l2(),
    "l2_sp by prox": Plan(L2(0.1), L2(0.01)),
    "l1_sp": l1_sp(1e-3),
    "l1 by gradient": Plan(L1(1e-3), via="gradient"),
    "weak toward zero": Plan(L2(1e-5).toward("zero"), L2(1e-4)),
    "weak toward the source": Plan(L2(1e-3), L2(1e-2)),
    "groups": Plan(GroupLasso(0.01), GroupLasso(0.01, "channels")),
    "sum": Plan(L2(0.1) + L1(0.01), L2(0.1) + GroupLasso(0.01)),
    "ball": Plan(MarsBall(8.0), FrobeniusBall(0.5)),
    "weighted": Plan(Weighted(10.0, IMPORTANCE), via="gradient"),
    "frozen rows": Plan(Frozen(), L2(0.01)),
    "scheduled": Plan(L2(0.1).toward("source", Cosine(100)), L2(0.01), via="gradient"),
    "overrides": Plan(L2(0.1), overrides={"*.bias": None, "2.weight": L1(1e-3)}),
}


@pytest.mark.parametrize("make", [sgd, adam], ids=["sgd", "adam"])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_every_pull_of_every_plan_is_found_delivered(plan: Plan, make: Callable[[nn.Module], Any]) -> None:
    _, optimizer, leash = made(plan, make)
    found = leash.audit(optimizer, BATCH)
    assert found.passed, found
    assert not found.unchecked, found
    assert delivered(found).keys() == {part.key for part in leash.parts}
    assert all(90 <= float(share.rstrip(" %")) <= 110 for share in delivered(found).values())


OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "Nesterov": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "SGD maximize": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, maximize=True),
    "SGD fused": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, fused=True),
    "Adam": lambda model: torch.optim.Adam(model.parameters()),
    "Adam tensor lr": lambda model: torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-3)),
    "Adam amsgrad": lambda model: torch.optim.Adam(model.parameters(), amsgrad=True),
    "AdamW fused": lambda model: torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True),
    "NAdam": lambda model: torch.optim.NAdam(model.parameters()),
    "RAdam": lambda model: torch.optim.RAdam(model.parameters()),
    "Adamax": lambda model: torch.optim.Adamax(model.parameters()),
    "RMSprop": lambda model: torch.optim.RMSprop(model.parameters(), lr=1e-3),
    "Adagrad": lambda model: torch.optim.Adagrad(model.parameters()),
    "Adadelta": lambda model: torch.optim.Adadelta(model.parameters()),
    "Rprop": lambda model: torch.optim.Rprop(model.parameters(), lr=1e-3),
    "LBFGS": lambda model: torch.optim.LBFGS(model.parameters(), lr=0.1),
}


def step_of(model: nn.Module, optimizer: Any) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(INPUTS), TARGETS)
        loss.backward()
        return loss

    optimizer.step(closure)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_by_gradient_it_is_found_delivered_in_every_optimiser(name: str) -> None:
    model = net()
    optimizer = OPTIMIZERS[name](model)
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp()).attach(optimizer)
    step_of(model, optimizer)
    found = leash.audit(optimizer, BATCH)
    assert found.passed, found
    assert set(delivered(found).values()) == {"100 %"}


@pytest.mark.parametrize("metric", ["identity", "optimizer"])
@pytest.mark.parametrize("name", ["Adam", "Adam amsgrad", "AdamW fused", "NAdam", "RAdam", "Adamax", "RMSprop"])
def test_by_prox_it_is_found_delivered_in_either_metric(name: str, metric: Any) -> None:
    model = net()
    optimizer = OPTIMIZERS[name](model)
    leash = Tether(model, Anchor.of(model, new="2.*"), Plan(L2(0.1), L2(0.01), metric=metric)).attach(optimizer)
    step_of(model, optimizer)
    found = leash.audit(optimizer, BATCH)
    assert found.passed, found
    assert all(90 <= float(share.rstrip(" %")) <= 110 for share in delivered(found).values())


def test_in_the_optimisers_metric_each_value_is_due_when_its_own_steps_are_enough() -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    weak = Plan(L2(1e-3), L2(1e-5), metric="optimizer")
    leash = Tether(model, Anchor.of(model, new="2.*"), weak).attach(optimizer)
    inputs = INPUTS * torch.logspace(-4, 1, 6)  # and so are the gradients of a row's values, and their steps
    found = leash.audit(optimizer, (inputs, TARGETS))
    assert found.passed, found
    assert delivered(found)["0.weight"] != "–"


@pytest.mark.parametrize("plan", [l2_sp(), l1_sp(1e-3, 0.1), Plan(L2(0.1), L2(0.1))], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_in_other_dtypes(plan: Plan, dtype: torch.dtype) -> None:
    model = net().to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    leash = Tether(model, Anchor.of(model, new="2.*"), plan).attach(optimizer)
    found = audit(leash, optimizer, (INPUTS.to(dtype), TARGETS))
    assert found.passed, found
    assert all(90 <= float(share.rstrip(" %")) <= 110 for share in delivered(found).values())


@pytest.mark.parametrize("via", ["gradient", "prox"])
def test_rows_of_a_partly_new_head_are_audited_apart(via: Any) -> None:
    model = net()
    anchor = Anchor.of(model, new="2.bias")
    mask = torch.tensor([True, False, True])
    anchor = Anchor(anchor.references, {**anchor.new, "2.weight": mask})
    optimizer = sgd(model)
    leash = Tether(model, anchor, Plan(L2(0.1), L2(0.01), via=via)).attach(optimizer)
    found = leash.audit(optimizer, BATCH)
    assert found.passed, found
    assert {"2.weight[new]", "2.weight[transferred]"} <= delivered(found).keys()


def test_rows_that_a_sparse_gradient_touches() -> None:
    model = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp()).attach(optimizer)
    found = leash.audit(optimizer, (torch.tensor([[0, 1], [1, 5], [0, 0]]), torch.tensor([0, 1, 2])))
    assert found.passed, found
    assert set(delivered(found).values()) == {"100 %"}


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "foreach"])
@pytest.mark.parametrize("plan", [l2_sp(), Plan(L2(0.1), L2(0.01)), differential_l2().scaled(100)], ids=str)
def test_through_a_scaler(plan: Plan, fused: bool) -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), fused=fused)
    leash = Tether(model, Anchor.of(model, new="2.*"), plan).attach(optimizer)
    scaler = torch.amp.GradScaler("cpu")
    found = leash.audit(optimizer, BATCH, scaler=scaler)
    assert found.passed, found
    assert set(delivered(found).values()) == {"100 %"}
    scaler.scale(functional.cross_entropy(model(INPUTS), TARGETS)).backward()  # and its state is as it was
    scaler.step(optimizer)
    scaler.update()
    assert leash.steps_seen == 1


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "foreach"])
def test_a_batch_that_the_scaler_skips_proves_nothing(fused: bool) -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), fused=fused)
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp()).attach(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    found = leash.audit(optimizer, (1e3 * INPUTS, TARGETS), loss=lambda out, y: out.square().sum(), scaler=scaler)
    assert found.passed
    assert {row.check for row in found.unchecked} == {"pull delivered", "resume"}
    assert "the scaler skips this batch" in str(found)


def test_tied_weights_are_audited_once() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4, bias=False)})
    model["head"].weight = model["embed"].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(overrides={"head.*": L2(1.0)}, via="gradient")).attach(optimizer)
    tokens = torch.tensor([0, 1, 2])
    found = leash.audit(optimizer, lambda: functional.cross_entropy(model["head"](model["embed"](tokens)), tokens))
    assert found.passed
    assert delivered(found) == {"embed.weight": "100 %"}


def test_a_plan_that_holds_nothing_passes_with_no_pull() -> None:
    _, optimizer, leash = made(none())
    found = leash.audit(optimizer, BATCH)
    assert found.passed
    assert not delivered(found)


def test_frozen_parameters_that_stay_pass() -> None:
    model = net()
    leash = Tether(model, Anchor.of(model, new="2.*"), frozen())
    for p in model[0].parameters():
        p.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    leash.attach(optimizer)
    found = leash.audit(optimizer, BATCH)
    assert found.passed
    row = next(row for row in found.rows if row.check == "frozen")
    assert (row.about, row.measured) == ("2 parameters", "0 moved")


def test_a_value_of_the_tether_in_the_loss_is_not_counted_while_it_is_attached() -> None:
    _, optimizer, leash = made(l2_sp())
    found = leash.audit(optimizer, BATCH, loss=lambda out, y: functional.cross_entropy(out, y) + leash.value())
    assert found.passed, found


def test_without_an_optimiser_the_value_in_the_loss_delivers_the_pulls() -> None:
    model = net()
    optimizer = sgd(model)
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp())
    found = leash.audit(optimizer, BATCH, loss=lambda out, y: functional.cross_entropy(out, y) + leash.value())
    assert found.passed, found
    assert set(delivered(found).values()) == {"100 %"}
    doubled = leash.audit(optimizer, BATCH, loss=lambda out, y: functional.cross_entropy(out, y) + 2 * leash.value())
    assert set(delivered(doubled).values()) == {"200 %"}
    assert {check for check, _ in failed(doubled)} == {"pull delivered"}


def test_a_function_may_return_the_loss_or_run_its_own_backward_pass() -> None:
    model, optimizer, leash = made(l2_sp())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(INPUTS), TARGETS)
        loss.backward()
        return loss

    for batch in (closure, lambda: functional.cross_entropy(model(INPUTS), TARGETS)):
        assert leash.audit(optimizer, batch) == leash.audit(optimizer, BATCH)


# Faults


def test_lost_hooks_fail_every_pull() -> None:
    for plan in (l2_sp(), Plan(L2(0.1), L2(0.01)), differential_l2()):
        _, optimizer, leash = made(plan)
        optimizer._optimizer_step_pre_hooks.clear()
        optimizer._optimizer_step_post_hooks.clear()
        found = leash.audit(optimizer, BATCH)
        assert failed(found) == {("pull delivered", part.key) for part in leash.parts}
        assert set(delivered(found).values()) == {"0 %"}
        assert all("has lost the tether's hooks" in row.note for row in found.failed)


def test_gathered_pulls_that_never_come_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    _, optimizer, leash = made(Plan(L2(1e-5).toward("zero"), L2(1e-5)), adam)
    assert leash.attachment is not None
    assert max(leash.attachment.gathering.every.values()) > 1
    monkeypatch.setattr(Gathering, "_due", lambda *_: 0.0)
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("pull delivered", part.key) for part in leash.parts}


def test_a_tether_that_was_never_attached_delivers_nothing() -> None:
    model = net()
    optimizer = sgd(model)
    for plan in (l2_sp(), Plan(L2(0.1), L2(0.01))):
        leash = Tether(model, Anchor.of(model, new="2.*"), plan)
        found = leash.audit(optimizer, BATCH)
        assert failed(found) == {("pull delivered", part.key) for part in leash.parts}
        assert "the tether is attached to no optimiser" in str(found)


def test_a_copied_optimiser_is_no_tethered_one() -> None:
    model, optimizer, leash = made(l2_sp())
    found = leash.audit(copy.copy(optimizer), BATCH)
    assert failed(found) == {("pull delivered", part.key) for part in leash.parts}
    assert "is a copy or has the state of a tethered one" in str(found)
    other = leash.audit(sgd(model), BATCH)
    assert failed(other) == failed(found)
    assert "an optimiser without the tether steps held parameters" in str(other)


def test_a_decay_that_was_switched_on_later() -> None:
    _, optimizer, leash = made(l2_sp())
    optimizer.param_groups[0]["weight_decay"] = 0.01
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("counted once", "the decay of group 0")}
    assert found.failed[0].measured == "weight_decay=0.01"
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


@pytest.mark.parametrize("as_function", [False, True])
def test_a_penalty_in_the_loss_by_hand(as_function: bool) -> None:
    model, optimizer, leash = made(l2_sp())
    start = model[0].weight.detach().clone()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets) + 0.05 * (model[0].weight - start).square().sum()

    found = leash.audit(optimizer, (lambda: loss(model(INPUTS), TARGETS)) if as_function else BATCH, loss=loss)
    assert failed(found) == {("counted once", "the loss")}
    assert "`0.weight`" in found.failed[0].note


def test_a_second_penalty_in_a_hook_of_the_optimiser() -> None:
    model, optimizer, leash = made(l2_sp())
    start = leash.anchor.references["0.weight"]

    def again(*_: Any) -> None:
        model[0].weight.grad.add_(model[0].weight.detach() - start, alpha=0.1)

    optimizer.register_step_pre_hook(again)
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("pull delivered", "0.weight")}
    assert delivered(found)["0.weight"] == "200 %"
    assert "something else acts on these weights in the same step" in found.failed[0].note


def test_a_hook_that_clips_after_the_pull_was_added() -> None:
    model, optimizer, leash = made(l2_sp(alpha=10.0))
    optimizer.register_step_pre_hook(lambda *_: nn.utils.clip_grad_value_(model[0].parameters(), 1e-3))
    assert failed(leash.audit(optimizer, BATCH)) == {("pull delivered", "0.weight"), ("pull delivered", "0.bias")}


def test_a_hook_that_clips_before_the_pull_is_added_is_no_fault() -> None:
    model = net()
    optimizer = sgd(model)
    optimizer.register_step_pre_hook(lambda *_: nn.utils.clip_grad_value_(model.parameters(), 1e-3))
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp()).attach(optimizer)
    assert leash.audit(optimizer, BATCH).passed


def test_a_strength_of_zero() -> None:
    _, optimizer, leash = made(Plan(L2(0.0), via="gradient"))
    assert failed(leash.audit(optimizer, BATCH)) == {("strength", "transferred")}
    _, optimizer, leash = made(Plan(L2(0.1), L2(0.0), via="gradient"))
    found = leash.audit(optimizer, BATCH)
    assert found.passed
    assert [(row.check, row.about) for row in found.unchecked] == [("strength", "new")]


def test_a_parameter_that_was_frozen_later() -> None:
    model, optimizer, leash = made(l2_sp())
    model[0].bias.requires_grad_(False)
    assert failed(leash.audit(optimizer, BATCH)) == {("trained", "0.bias")}


def test_a_parameter_that_was_frozen_from_the_start_is_listed() -> None:
    model = net()
    model[0].bias.requires_grad_(False)
    _, optimizer, leash = made(l2_sp(), model=model)
    found = leash.audit(optimizer, BATCH)
    assert found.passed
    assert [(row.check, row.about) for row in found.unchecked] == [("trained", "0.bias")]


def test_a_frozen_parameter_that_momentum_still_moves() -> None:
    model, optimizer, leash = made(Plan(L2(0.1), overrides={"0.bias": None}, via="gradient"))
    model[0].bias.requires_grad_(False)
    optimizer.zero_grad(set_to_none=False)
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("frozen", "1 parameter")}
    assert "`0.bias` moved" in found.failed[0].note


def test_a_frozen_parameter_that_is_not_at_its_reference() -> None:
    model = net()
    leash = Tether(model, Anchor.of(model, new="2.*"), frozen())
    with torch.no_grad():
        model[0].bias.add_(1e-3)
    for p in model[0].parameters():
        p.requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    leash.attach(optimizer)
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("frozen", "2 parameters")}
    assert "`0.bias` moved before" in found.failed[0].note


def normed() -> Made:
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    return made(l2_sp(), model=model)


def test_statistics_that_move_under_the_source_policy() -> None:
    model, optimizer, leash = normed()
    assert failed(leash.audit(optimizer, BATCH)) == {("batchnorm", "1")}
    assert leash.audit(optimizer, BATCH, batchnorm="update").passed
    model[1].eval()
    assert leash.audit(optimizer, BATCH).passed
    assert failed(leash.audit(optimizer, BATCH, batchnorm="update")) == {("batchnorm", "1")}


def test_statistics_of_a_model_in_evaluation_mode_are_not_known() -> None:
    model, optimizer, leash = normed()
    model.eval()
    found = leash.audit(optimizer, BATCH)
    assert found.passed
    assert [(row.check, row.about) for row in found.unchecked] == [("batchnorm", "1")]


def test_a_reference_that_was_written_to() -> None:
    _, optimizer, leash = made(l2_sp())
    part = next(part for part in leash.parts if part.name == "0.weight")
    assert part.reference is not None
    part.reference = part.reference + 1e-3
    # what is loaded again pulls to what the anchor says
    assert failed(leash.audit(optimizer, BATCH)) == {("reference", "0.weight"), ("resume", "one more step")}


def test_a_reference_that_moves_with_the_parameter() -> None:
    model = net()
    optimizer = sgd(model)
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp()).attach(optimizer)
    leash.parts[0].reference = leash.parts[0].parameter.detach()
    assert leash.parts[0].name == "0.weight"
    found = leash.audit(optimizer, BATCH)
    assert ("reference", "0.weight") in failed(found)
    assert "moves with it" in str(found)


def test_a_source_file_that_was_changed(tmp_path: Any) -> None:
    from safetensors.torch import save_file

    from tether import transfer

    model = net()
    save_file(net().state_dict(), tmp_path / "source.safetensors")
    moved = transfer(tmp_path / "source.safetensors", model, exclude=["2.*"])
    optimizer = sgd(model)
    leash = moved.tether(l2_sp()).attach(optimizer)
    assert leash.audit(optimizer, BATCH).passed
    with (tmp_path / "source.safetensors").open("ab") as file:
        file.write(b" ")
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("reference", "the source's file")}


class HalfGradient(L2):
    def grad(self, delta: Tensor) -> Tensor:
        return self.strength / 2 * delta


class HalfProx(L2):
    def prox(self, delta: Tensor, step: float | Tensor) -> Tensor:
        return delta / (1 + step * self.strength / 2)


class Offset(L2):
    """Not zero at the reference, and its gradient and prox are those of its value."""

    def value(self, delta: Tensor) -> Tensor:
        return super().value(delta) + 1.0


@pytest.mark.parametrize(
    ("penalty", "via", "check"),
    [
        (HalfGradient(0.1), "gradient", "gradient is the value's"),
        (HalfProx(0.1), "prox", "prox is the value's"),
        (Offset(0.1), "gradient", "zero at the reference"),
    ],
    ids=str,
)
def test_a_penalty_that_is_not_what_its_value_says(penalty: Penalty, via: Any, check: str) -> None:
    # L2 acts in place by formulas of its own, so the oracle of the step is what it overrides
    for name in ("add_gradient_", "prox_"):
        setattr(type(penalty), name, getattr(Penalty, name))
    _, optimizer, leash = made(Plan(penalty, via=via))
    assert failed(leash.audit(optimizer, BATCH)) == {(check, "0.weight"), (check, "0.bias")}


def test_a_penalty_whose_action_in_place_is_not_its_gradient() -> None:
    _, optimizer, leash = made(Plan(HalfInPlace(0.1), via="gradient"))
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("pull delivered", "0.weight"), ("pull delivered", "0.bias")}
    assert set(delivered(found).values()) == {"50 %"}


class HalfInPlace(L2):
    def add_gradient_(self, grads: Any, weights: Any, references: Any, scale: float | Tensor = 1.0) -> None:
        super().add_gradient_(grads, weights, references, scale / 2)


def test_a_module_that_was_replaced_after_the_tether_was_made() -> None:
    model, optimizer, leash = made(l2_sp())
    model[2] = nn.Linear(5, 3)
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("same parameters", "4 parameters")}
    assert {row.about for row in found.unchecked} == {"2.weight", "2.bias"}


@pytest.mark.parametrize("plan", [l2_sp(), Plan(L2(0.1), L2(0.01))], ids=["gradient", "prox"])
def test_a_rate_of_zero(plan: Plan) -> None:
    _, optimizer, leash = made(plan)
    optimizer.param_groups[0]["lr"] = 0.0
    assert failed(leash.audit(optimizer, BATCH)) == {("rate", "group 0")}


def test_a_schedule_that_starts_at_zero_is_audited_at_its_peak() -> None:
    model = net()
    optimizer = sgd(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)
    leash = Tether(model, Anchor.of(model, new="2.*"), Plan(L2(0.1), L2(0.01))).attach(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.0
    found = leash.audit(optimizer, BATCH)
    assert found.passed
    assert set(delivered(found).values()) == {"100 %"}
    assert optimizer.param_groups[0]["lr"] == 0.0
    with pytest.warns(UserWarning, match="Detected call of `lr_scheduler.step"):
        schedule.step()  # the audit's own steps were none of the loop's


def test_float16_without_a_scaler() -> None:
    model, optimizer, leash = made(l2_sp())

    def loss() -> Tensor:
        with torch.autocast("cpu", torch.float16):
            return functional.cross_entropy(model(INPUTS).float(), TARGETS)

    assert failed(leash.audit(optimizer, loss)) == {("loss scaling", "float16")}
    assert leash.audit(optimizer, loss, scaler=torch.amp.GradScaler("cpu")).passed


def test_a_pull_that_rounds_away_in_the_gradients_dtype() -> None:
    model = net().to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp(1e-7, 1e-7)).attach(optimizer)
    found = leash.audit(optimizer, (INPUTS.to(torch.bfloat16), TARGETS))
    assert {check for check, _ in failed(found)} == {"pull delivered"}
    assert "the pull rounds away in torch.bfloat16" in str(found)


class Forgetful(torch.optim.SGD):
    """Keeps a count that its state does not have."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.count = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"] / self.count)


def test_an_optimiser_that_forgets_when_it_is_loaded() -> None:
    _, optimizer, leash = made(l2_sp(), lambda model: Forgetful(model.parameters()))
    found = leash.audit(optimizer, BATCH)
    assert failed(found) == {("resume", "one more step")}
    assert "`0.weight`" in found.failed[0].note
    assert optimizer.count == 3


# Refusals


def test_what_is_no_batch_or_no_policy_is_refused() -> None:
    model, optimizer, leash = made(l2_sp())
    with pytest.raises(SettingsError, match="`batch` is a Tensor, and neither a pair"):
        leash.audit(optimizer, INPUTS)
    with pytest.raises(SettingsError, match="the loss is a tensor of"):
        leash.audit(optimizer, lambda: model(INPUTS))
    with pytest.raises(SettingsError, match="the loss is a NoneType"):
        leash.audit(optimizer, lambda: None)
    with pytest.raises(SettingsError, match="`batchnorm='sorce'`"):
        leash.audit(optimizer, BATCH, batchnorm="sorce")
    with pytest.raises(AttachError, match="is not a torch optimiser"):
        leash.audit(model, BATCH)


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    _, optimizer, leash = made(l2_sp())
    with pytest.raises(Diverged, match="the gradient of this batch is not finite"):
        leash.audit(optimizer, (INPUTS * torch.nan, TARGETS))


@pytest.mark.parametrize("how", ["another model's", "none"])
def test_a_loss_that_reaches_no_held_parameter(how: str) -> None:
    model = net()
    optimizer = sgd(model)
    leash = Tether(model, Anchor.of(model, new="2.*"), l2_sp()).attach(optimizer)
    other = net()

    def loss() -> torch.Tensor:
        if how == "none":
            return functional.cross_entropy(model(BATCH[0]).detach(), BATCH[1]).requires_grad_()
        return functional.cross_entropy(other(BATCH[0]), BATCH[1])

    found = leash.audit(optimizer, loss)
    assert failed(found) == {("pulls measured", "the batch")}
    assert "no pull was measured" in str(found).splitlines()[0]
    assert not found.passed

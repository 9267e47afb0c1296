"""A pull may go toward the source, zero, a checkpoint of this model, or tensors in memory."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import MatchError, PlanError
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.pull import Weights


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    save_file({name: torch.full_like(p, 0.5) for name, p in net().named_parameters()}, tmp_path / "other.safetensors")
    return tmp_path / "other.safetensors"


def test_a_checkpoint_is_pulled_to(other: Path):
    model = net()
    leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward(str(other))))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    leash.attach(optimizer)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    for p, was in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), 0.5 + (was - 0.5) / 2)
    assert "other.safetensors" in str(leash)


def test_a_run_folder_is_a_checkpoint(source_run: Path):
    from tether.models.build import build
    from tether.spec import ModelSpec

    model = build(ModelSpec(name="digits-cnn"), 3, 1)
    leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward(str(source_run))))
    assert float(leash.value().detach()) > 0
    leash.references.verify()


def test_tensors_in_memory_are_pulled_to_by_canonical_name():
    model = net()
    average = {f"module.{name}": torch.zeros_like(p) for name, p in model.named_parameters()}
    leash = Tether(model, Anchor.of(model), Plan(L2(2.0).toward(average)))
    torch.testing.assert_close(leash.value().detach(), sum(p.detach().square().sum() for p in model.parameters()))
    named = Plan(L2(2.0).toward(Weights(average, "the average")))
    assert "transferred → the average: L2(2.0)" in str(named)


def test_a_new_parameter_may_be_held_to_another_models_but_not_to_its_own_start(other: Path):
    model = net()
    leash = Tether(model, Anchor.of(model, new="1.*"), Plan(new=L2(1.0).toward(str(other))))
    assert {part.name for part in leash.parts} == {"1.weight", "1.bias"}
    own = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(PlanError, match=r"hold the new parameter `1.weight` to its own start"):
        Tether(model, Anchor.of(model, new="1.*"), Plan(new=L2(1.0).toward(own)))


def test_a_checkpoint_that_lacks_a_parameter_or_has_another_shape_is_refused(tmp_path: Path):
    model = net()
    save_file({"0.weight": torch.zeros(4, 3), "0.bias": torch.zeros(5)}, tmp_path / "part.safetensors")
    plan = Plan(L2(1.0).toward(str(tmp_path / "part.safetensors")))
    with pytest.raises(PlanError, match=r"has \(5,\) for `0.bias` of \(4,\)"):
        Tether(model, Anchor.of(model), plan)
    whole = Plan(L2(1.0).toward(str(tmp_path / "part.safetensors")), overrides={"0.bias": None})
    with pytest.raises(PlanError, match=r"has no `1.weight`"):
        Tether(model, Anchor.of(model), whole)


def test_a_reference_that_is_no_file_says_what_is_near():
    model = net()
    with pytest.raises(PlanError, match=r'toward\("sorce"\)') as refused:
        Tether(model, Anchor.of(model), Plan(L2(1.0).toward("sorce")))
    assert "did you mean `source`" in refused.value.fix


def test_a_reference_file_that_has_changed_is_refused(other: Path):
    model = net()
    leash = Tether(model, Anchor.of(model), Plan(L2(1.0).toward(str(other))))
    changed = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    other.unlink()
    save_file(changed, other)
    with pytest.raises(MatchError, match="has changed"):
        leash.attach(torch.optim.SGD(model.parameters(), lr=0.1))


def test_what_is_no_reference_is_refused():
    for bad in (3, None, ""):
        with pytest.raises(PlanError, match="is no reference"):
            L2(1.0).toward(bad)

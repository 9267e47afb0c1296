"""What can be seen before any step."""

import pytest
import torch
from torch import nn

from tether.anchor import Anchor
from tether.audit.standing import peak, standing
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan


@pytest.mark.parametrize(
    ("group", "rate"),
    [
        ({"lr": 0.1}, 0.1),
        ({"lr": torch.tensor(0.5)}, 0.5),
        ({"lr": 0.0, "initial_lr": 0.2}, 0.2),
        ({"lr": 0.1, "initial_lr": 0.04, "max_lr": 1.0}, 1.0),
        ({"lr": 0.0, "max_lr": None}, 0.0),
    ],
)
def test_the_peak_is_the_largest_rate_that_a_schedule_names(group: dict[str, object], rate: float) -> None:
    assert peak(group) == rate


def test_a_group_that_holds_nothing_may_have_a_decay_and_no_rate() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.0, "weight_decay": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(overrides={"0.*": L2(0.1)}, via="gradient")).attach(optimizer)
    rows = list(standing(leash, optimizer))
    assert all(row.passed for row in rows)
    assert [row.about for row in rows if row.check in ("rate", "counted once")] == ["group 0", "the decay of group 0"]


def test_a_checkpoint_that_is_pulled_to_is_read_again(tmp_path: object) -> None:
    from safetensors.torch import save_file

    model = nn.Linear(4, 3)
    path = f"{tmp_path}/other.safetensors"
    save_file({name: torch.ones_like(p) for name, p in model.named_parameters()}, path)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash = Tether(model, Anchor.of(model), Plan(L2(0.1).toward(path), via="gradient")).attach(optimizer)
    assert all(row.passed for row in standing(leash, optimizer))
    save_file({name: torch.zeros_like(p) for name, p in model.named_parameters()}, path)
    failed = [(row.check, row.about) for row in standing(leash, optimizer) if not row.passed]
    assert {("reference", "weight"), ("reference", "bias")} <= set(failed)

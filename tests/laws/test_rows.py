"""A head of which some rows are the source's and some are new is held as two tensors would be."""

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import PlanError
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import frozen
from tether.roles import displacement

NEW_ROWS = torch.tensor([False, True, False, True])
both_ways = pytest.mark.parametrize("via", ["gradient", "prox"])


class Split(nn.Module):
    """One head of four classes, of which two are the source's."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4, dtype=torch.float64)


def split_anchor(model: nn.Module) -> Anchor:
    references = {name: p.detach().clone() + 0.1 for name, p in model.named_parameters()}
    return Anchor(references, dict.fromkeys(references, NEW_ROWS))


@both_ways
@pytest.mark.parametrize(
    ("transferred", "new"),
    [(L2(0.5), L2(0.2)), (L1(0.05), L2(0.2)), (L2(0.5).toward("zero"), L1(0.1)), (L2(0.5), None)],
    ids=str,
)
def test_a_partly_new_head_is_held_as_two_tensors_would_be(via: str, transferred: Penalty, new: Penalty | None):
    model = Split()
    start = [p.detach().clone() for p in model.parameters()]
    anchor = split_anchor(model)
    plan = Plan(transferred, new)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    leash = Tether(model, anchor, plan).attach(optimizer, via=via)

    apart = nn.ParameterDict()
    references: dict[str, Tensor] = {}
    for (name, reference), value in zip(anchor.references.items(), start, strict=True):
        key = name.replace(".", "_")
        apart[f"old_{key}"], apart[f"new_{key}"] = nn.Parameter(value[~NEW_ROWS]), nn.Parameter(value[NEW_ROWS])
        references[f"old_{key}"] = reference[~NEW_ROWS]
    two = torch.optim.SGD(apart.parameters(), lr=0.1, momentum=0.9)
    other = Tether(apart, Anchor(references, {name: None for name in apart if "new" in name}), plan).attach(
        two, via=via
    )

    for _ in range(20):
        for p, name in zip(model.parameters(), anchor.references, strict=True):
            key = name.replace(".", "_")
            p.grad = torch.randn_like(p)
            apart[f"old_{key}"].grad, apart[f"new_{key}"].grad = p.grad[~NEW_ROWS].clone(), p.grad[NEW_ROWS].clone()
        optimizer.step()
        two.step()
    torch.testing.assert_close(leash.value(), other.value(), rtol=1e-12, atol=0)
    for p, name in zip(model.parameters(), anchor.references, strict=True):
        key = name.replace(".", "_")
        torch.testing.assert_close(p[~NEW_ROWS], apart[f"old_{key}"], rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(p[NEW_ROWS], apart[f"new_{key}"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("penalty", [GroupLasso(0.1), L2(0.1) + GroupLasso(0.1)], ids=repr)
def test_a_group_over_a_partly_new_head_is_refused(penalty: Penalty):
    model = Split()
    with pytest.raises(PlanError, match=r"cannot hold `head.weight`, which is partly new") as refusal:
        Tether(model, split_anchor(model), Plan(penalty, L2(0.1)))
    assert "overrides={'head.weight'" in refusal.value.fix


def test_a_frozen_row_stays_and_a_new_one_trains():
    model = Split()
    anchor = split_anchor(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    leash = Tether(model, anchor, frozen()).attach(optimizer)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert torch.equal(model.head.weight[~NEW_ROWS], anchor.references["head.weight"][~NEW_ROWS])
    assert not torch.equal(model.head.weight[NEW_ROWS], anchor.references["head.weight"][NEW_ROWS])
    assert leash.steps_acted == 1


def test_displacement_by_role_of_a_partly_new_parameter():
    model = Split()
    anchor = split_anchor(model)
    old = displacement("head.weight", model.head.weight, anchor, "transferred")
    fresh = displacement("head.weight", model.head.weight, anchor, "new")
    torch.testing.assert_close(old, torch.full((2, 3), -0.1))
    torch.testing.assert_close(fresh, model.head.weight.detach()[NEW_ROWS].float())

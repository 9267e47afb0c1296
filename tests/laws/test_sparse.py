"""A sparse gradient is pulled on the rows that have one, as torch steps no others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.base import Penalty
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.weighted import Weighted

ROWS, WIDTH = 7, 3
WORDS = torch.tensor([1, 4, 1, 6])
IMPORTANCE = {"weight": torch.rand(ROWS, WIDTH, dtype=torch.float64)}
MASK = torch.tensor([False, True, False, False, False, False, True])
every_penalty = pytest.mark.parametrize("penalty", [L2(0.5), L1(0.2), Weighted(0.5, IMPORTANCE)], ids=repr)


def embeddings(anchored: str) -> tuple[nn.Embedding, nn.Embedding, Anchor]:
    """A sparse and a dense embedding with the same weights, some way from their source."""
    torch.manual_seed(3)
    sparse = nn.Embedding(ROWS, WIDTH, sparse=True, dtype=torch.float64)
    source = sparse.weight.detach().clone()
    sparse.weight.detach().add_(torch.randn(ROWS, WIDTH, dtype=torch.float64))
    dense = nn.Embedding(ROWS, WIDTH, dtype=torch.float64)
    dense.load_state_dict(sparse.state_dict())
    return sparse, dense, Anchor({"weight": source}, {"weight": MASK} if anchored == "partly new" else {})


def gradients(model: nn.Embedding, leash: Tether) -> Tensor:
    """The gradient that the optimiser's kernel sees."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    leash.attach(optimizer)
    seen: list[Tensor] = []

    def look(stepped: Any, args: Any, kwargs: Any) -> None:
        seen.append(stepped.param_groups[0]["params"][0].grad.to_dense())

    optimizer.register_step_pre_hook(look)
    model(WORDS).square().sum().backward()
    optimizer.step()
    return seen[0]


@every_penalty
@pytest.mark.parametrize("anchored", ["transferred", "partly new"])
def test_rows_with_a_gradient_are_pulled_as_in_a_dense_one_and_others_are_not(penalty: Penalty, anchored: str):
    sparse, dense, anchor = embeddings(anchored)
    plan = Plan(penalty, L2(0.3), via="gradient")
    found, whole = (gradients(model, Tether(model, anchor, plan)) for model in (sparse, dense))
    touched = torch.zeros(ROWS, dtype=torch.bool)
    touched[WORDS] = True
    torch.testing.assert_close(found[touched], whole[touched], rtol=1e-12, atol=1e-14)
    assert not found[~touched].any()
    assert whole[~touched].any()


def test_sparse_adam_is_adam_on_the_rows_that_it_steps():
    ends = []
    for sparse in (True, False):
        torch.manual_seed(0)
        model = nn.Embedding(ROWS, WIDTH, sparse=sparse, dtype=torch.float64)
        anchor = Anchor.of(model)
        optimizer = (torch.optim.SparseAdam if sparse else torch.optim.Adam)(list(model.parameters()), lr=0.1)
        leash = Tether(model, anchor, Plan(L2(0.5), via="gradient"))
        leash.attach(optimizer)
        for _ in range(20):
            optimizer.zero_grad()
            model(torch.arange(ROWS)).square().sum().backward()
            optimizer.step()
        assert leash.acted_on == "the penalty acted on 20 of 20 steps"
        ends.append(model.weight.detach())
    # SparseAdam adds its ε before the correction for the first steps, Adam after it
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-6)

import pytest
import torch

from tether.errors import PlanError
from tether.penalties.frozen import Frozen
from tether.penalties.l2 import L2


def test_it_allows_no_displacement():
    assert Frozen().value(torch.zeros(3)) == 0
    assert Frozen().value(torch.tensor([0.0, 1e-30])) == torch.inf
    reference, weight = torch.randn(5), torch.randn(5)
    Frozen().prox_([weight], [reference], 1e-12)
    assert torch.equal(weight, reference)


def test_it_has_no_gradient():
    with pytest.raises(PlanError, match='via="prox"'):
        Frozen().grad(torch.ones(1))


def test_nothing_can_be_added_to_it():
    with pytest.raises(PlanError, match="nothing to add"):
        Frozen() + L2(1.0)

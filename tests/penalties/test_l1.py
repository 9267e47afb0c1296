import pytest
import torch

from tether.errors import PlanError
from tether.penalties.l1 import L1


def test_what_is_below_the_threshold_is_exactly_zero():
    delta = torch.tensor([0.1, -0.1, 0.2, -0.5])
    found = L1(2.0).prox(delta, 0.1)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.0, -0.3]))
    assert (found == 0).sum() == 3


def test_weights_within_the_threshold_are_put_back_to_the_reference_exactly():
    reference = torch.randn(1000)
    weight = reference + 1e-4 * torch.randn(1000)
    L1(1.0).prox_([weight], [reference], 1e-2)
    assert torch.equal(weight, reference)


@pytest.mark.parametrize("strength", [-1.0, float("nan")])
def test_a_strength_that_is_none_is_refused(strength):
    with pytest.raises(PlanError, match=r"L1\("):
        L1(strength)

import pytest
import torch

from tether.errors import PlanError
from tether.penalties.l2 import L2


def test_its_gradient_is_the_weight_decay_of_torch_bit_for_bit():
    weights = [torch.randn(50, 40), torch.randn(7)]
    grads = [torch.randn_like(w) for w in weights]
    expected = [g.add(w, alpha=1e-4) for g, w in zip(grads, weights, strict=True)]
    L2(1e-4).add_gradient_(grads, weights, None)
    assert all(map(torch.equal, grads, expected))


def test_its_prox_is_a_shrink_by_one_over_one_plus_step_times_strength():
    assert torch.equal(L2(3.0).prox(torch.tensor([8.0]), 1.0), torch.tensor([2.0]))


def test_a_scale_beyond_float16_is_multiplied_before_it_is_rounded():
    grad, weight = torch.zeros(2, dtype=torch.float16), torch.ones(2, dtype=torch.float16)
    L2(1e-2).add_gradient_([grad], [weight], None, torch.tensor(2.0**17))
    torch.testing.assert_close(grad, torch.full((2,), 1310.0, dtype=torch.float16), rtol=1e-3, atol=0)


@pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf"), "1"])
def test_a_strength_that_is_none_is_refused(strength):
    with pytest.raises(PlanError, match="finite number, 0 or more"):
        L2(strength)

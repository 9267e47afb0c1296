import math

import pytest
import torch

from tether.errors import PlanError
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1


def test_a_group_is_a_filter_weighted_by_the_root_of_its_size():
    delta = torch.zeros(2, 3, 2, 2)
    delta[0, 0, 0, 0] = 2.0
    assert float(GroupLasso(0.5).value(delta)) == pytest.approx(0.5 * math.sqrt(12) * 2.0)


def test_filters_stay_at_the_reference_or_move_whole():
    reference = torch.randn(8, 3, 3, 3)
    weight = reference + torch.randn(8, 3, 3, 3) * torch.tensor([1e-4, 1.0] * 4).reshape(8, 1, 1, 1)
    GroupLasso(1.0).prox_([weight], [reference], 0.01)
    moved = (weight != reference).flatten(1)
    assert moved.any(1).tolist() == [False, True] * 4
    assert moved[1::2].all()


def test_on_a_bias_it_is_the_lasso():
    delta = torch.randn(9)
    torch.testing.assert_close(GroupLasso(0.3).prox(delta, 0.5), L1(0.3).prox(delta, 0.5))
    torch.testing.assert_close(GroupLasso(0.3).grad(delta), L1(0.3).grad(delta))


def test_a_negative_strength_is_refused():
    with pytest.raises(PlanError, match=r"GroupLasso\("):
        GroupLasso(-0.1)

import pytest
import torch

from tether.errors import NoClosedForm
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.sums import Sum


class Stranger(Penalty):
    """A penalty of another package, of which only its methods are known."""

    def value(self, delta):
        return delta.exp().sum()

    def grad(self, delta):
        return delta.exp()

    def prox(self, delta, step):
        return delta

    def scaled(self, factor):
        return self

    @property
    def null(self):
        return False


def test_terms_of_one_class_merge_and_the_order_does_not_matter():
    assert L2(0.5) + L2(0.25) == L2(0.75)
    assert L1(1.0) + L2(2.0) + L1(0.5) == L2(2.0) + L1(1.5)
    assert L1(1.0) + (GroupLasso(1.0) + L2(2.0)) == Sum((L2(2.0), L1(1.0), GroupLasso(1.0)))


def test_factors_distribute():
    assert 2 * (L2(0.5) + L1(0.25)) == L2(1.0) + L1(0.5)


def test_values_and_gradients_add():
    delta = torch.randn(3, 4)
    total = L2(0.5) + GroupLasso(0.2)
    torch.testing.assert_close(total.value(delta), L2(0.5).value(delta) + GroupLasso(0.2).value(delta))
    torch.testing.assert_close(total.grad(delta), L2(0.5).grad(delta) + GroupLasso(0.2).grad(delta))


def test_a_sum_is_elementwise_where_all_its_terms_are():
    assert (L2(1.0) + L1(1.0)).elementwise
    assert not (L2(1.0) + GroupLasso(1.0)).elementwise


def test_a_sum_without_a_closed_form_says_which_sums_have_one():
    total = Sum((L2(1.0), Stranger()))
    with pytest.raises(NoClosedForm, match="L2, L1 and GroupLasso"):
        total.prox(torch.ones(2), 0.1)


def test_only_penalties_add_and_only_numbers_multiply():
    with pytest.raises(TypeError):
        L2(1.0) + 1.0
    with pytest.raises(TypeError):
        L2(1.0) * L2(1.0)

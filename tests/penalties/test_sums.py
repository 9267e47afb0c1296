import pytest
import torch

from tether.errors import NoClosedForm, PlanError
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.sums import Sum
from tether.penalties.views import Heads
from tether.penalties.weighted import Weighted


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
    for total in (
        L1(1.0) + Stranger(),
        GroupLasso(1.0, "filters") + GroupLasso(1.0, "channels"),
        GroupLasso(1.0) + MarsBall(1.0),
        Weighted(1.0, torch.ones(2, 2)) + GroupLasso(1.0),
        Weighted(1.0, torch.ones(2, 2)) + FrobeniusBall(1.0),
        FrobeniusBall(1.0) + FrobeniusBall(2.0),
    ):
        with pytest.raises(NoClosedForm, match="L2, Weighted and L1") as refused:
            total.prox(torch.ones(2, 2), 0.1)
        assert "those sums" in refused.value.fix
        with pytest.raises(NoClosedForm):
            Plan(transferred=total, via="prox")
    assert Plan(transferred=L1(1.0) + Stranger(), via="gradient")


def test_any_penalty_and_l2_have_a_closed_form():
    delta = torch.randn(3)
    torch.testing.assert_close((L2(1.0) + Stranger()).prox(delta, 0.5), delta / 1.5)


def test_equal_kinds_merge_only_where_the_rest_is_equal():
    importance = torch.ones(2)
    assert Weighted(1.0, importance) + Weighted(0.5, importance) == Weighted(1.5, importance)
    assert len((Weighted(1.0, importance) + Weighted(1.0, torch.ones(2))).terms) == 2
    assert GroupLasso(1.0, "layers") + GroupLasso(0.5, "layers") == GroupLasso(1.5, "layers")
    assert len((GroupLasso(1.0, "layers") + GroupLasso(0.5)).terms) == 2
    assert MarsBall(1.0) + MarsBall(1.0) == MarsBall(1.0)


def test_coarse_groups_come_last_however_they_are_added():
    total = FrobeniusBall(1.0) + GroupLasso(0.1, "layers") + GroupLasso(0.1, Heads(2)) + GroupLasso(0.1) + L1(0.1)
    assert [getattr(term, "view", None) for term in total.terms] == [None, "filters", Heads(2), "layers", None]


def test_nothing_adds_to_frozen():
    with pytest.raises(PlanError, match="leaves nothing to add to"):
        L2(1.0) + Frozen()


def test_only_penalties_add_and_only_numbers_multiply():
    with pytest.raises(TypeError):
        L2(1.0) + 1.0
    with pytest.raises(TypeError):
        L2(1.0) * L2(1.0)

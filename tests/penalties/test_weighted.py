import pytest
import torch

from tether.errors import PlanError
from tether.penalties.l2 import L2
from tether.penalties.weighted import Weighted


def test_with_importances_of_one_it_is_l2():
    delta = torch.randn(3, 4, dtype=torch.float64)
    ours = Weighted(0.7, torch.ones_like(delta))
    torch.testing.assert_close(ours.value(delta), L2(0.7).value(delta), rtol=1e-14, atol=0)
    assert torch.equal(ours.grad(delta), L2(0.7).grad(delta))
    torch.testing.assert_close(ours.prox(delta, 0.3), L2(0.7).prox(delta, 0.3), rtol=1e-14, atol=0)


def test_each_parameter_gets_its_own_importance():
    importance = {"a": torch.rand(2), "b": torch.rand(3, 2)}
    whole = Weighted(1.0, importance)
    assert torch.equal(whole.on("a", torch.zeros(2)).importance, importance["a"])
    rows = whole.on("b", torch.zeros(3, 2), torch.tensor([0, 2]))
    assert torch.equal(rows.importance, importance["b"][[0, 2]])


def test_without_a_parameter_it_cannot_act():
    with pytest.raises(PlanError, match="of many parameters"):
        Weighted(1.0, {"a": torch.ones(2)}).value(torch.ones(2))


def test_a_parameter_without_an_importance_is_refused_by_name():
    with pytest.raises(PlanError, match="no importance for `c`"):
        Weighted(1.0, {"a": torch.ones(2)}).on("c", torch.ones(2))
    with pytest.raises(PlanError, match=r"importance of `a` is \(2,\)"):
        Weighted(1.0, {"a": torch.ones(2)}).on("a", torch.ones(3))


@pytest.mark.parametrize("bad", [-1.0, torch.nan, torch.inf])
def test_an_importance_that_is_none_is_refused(bad):
    with pytest.raises(PlanError, match="negative or not finite"):
        Weighted(1.0, {"a": torch.tensor([1.0, bad])})
    with pytest.raises(PlanError, match="negative or not finite"):
        Weighted(1.0, torch.tensor([1.0, bad]))


@pytest.mark.parametrize("importance", ["fisher.safetensors", 3.0, None], ids=repr)
def test_what_is_no_importance_says_where_one_comes_from(importance):
    with pytest.raises(PlanError, match="neither a tensor nor one for each name") as refused:
        Weighted(1.0, importance)
    assert "Fisher.load(path)" in refused.value.fix


def test_the_pull_is_measured_where_nine_tenths_of_the_importance_lie():
    importance = torch.full((1000,), 1e-12)
    importance[:100] = 1.0
    assert Weighted(0.5, importance).relative_pull(torch.randn(1000), 0.1) == pytest.approx(0.05 / 1.05)


def test_it_is_equal_where_strength_and_importance_are_the_same():
    importance = torch.ones(2)
    assert Weighted(1.0, importance) == Weighted(1.0, importance)
    assert Weighted(1.0, importance) != Weighted(1.0, torch.ones(2))
    assert Weighted(1.0, importance) != Weighted(2.0, importance)
    assert len({Weighted(1.0, importance), Weighted(1.0, importance)}) == 1

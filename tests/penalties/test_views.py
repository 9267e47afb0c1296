import pytest
import torch

from tether.errors import PlanError
from tether.penalties.group import GroupLasso
from tether.penalties.views import AXES, Heads, fits, join, nested, split

VIEWS = [*AXES, Heads(2), Heads(2, axis=1), Heads(2, fused=3), Heads(6)]
SHAPES = [(6,), (6, 4), (12, 6, 3, 3)]


@pytest.mark.parametrize("view", VIEWS, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_join_undoes_split_and_no_value_is_in_two_groups(view, shape):
    if not fits(view, shape):
        pytest.skip("this view does not cut this shape")
    delta = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    groups = split(view, delta)
    assert sorted(groups.flatten().tolist()) == delta.flatten().tolist()
    assert torch.equal(join(view, groups, shape), delta)


def test_groups_are_what_they_are_called():
    weight = torch.randn(4, 6, 3, 3)
    assert torch.equal(split("filters", weight)[1], weight[1].flatten())
    assert torch.equal(split("neurons", weight)[1], weight[1].flatten())
    assert torch.equal(split("channels", weight)[2], weight[:, 2].flatten())
    assert torch.equal(split("layers", weight)[0], weight.flatten())
    assert split("filters", torch.randn(5)).shape == split("channels", torch.randn(5)).shape == (5, 1)


def test_a_head_is_its_block_of_rows():
    attention = torch.nn.MultiheadAttention(8, 2)
    fused = attention.in_proj_weight.detach()
    query, key, value = fused.chunk(3)
    second = torch.cat([query[4:], key[4:], value[4:]]).flatten()
    assert torch.equal(split(Heads(2, fused=3), fused)[1], second)
    out = attention.out_proj.weight.detach()
    assert torch.equal(split(Heads(2, axis=1), out)[1].sort().values, out[:, 4:].flatten().sort().values)
    assert torch.equal(split(Heads(2), query)[0], query[:4].flatten())


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_a_penalty_is_the_sum_over_its_groups(view):
    delta = torch.randn(12, 6, dtype=torch.float64)
    groups = split(view, delta)
    expected = sum(0.3 * group.numel() ** 0.5 * group.norm() for group in groups)
    torch.testing.assert_close(GroupLasso(0.3, view).value(delta), expected)


def test_a_whole_head_stays_at_the_source_or_moves():
    delta = torch.cat([0.01 * torch.randn(4, 6), 5 + torch.randn(4, 6)])
    found = GroupLasso(0.5, Heads(2)).prox(delta, 0.1)
    assert not found[:4].any()
    assert found[4:].all()


@pytest.mark.parametrize("view", ["filter", "rows", 3, None, ["filters"]], ids=repr)
def test_what_is_no_view_is_refused(view):
    with pytest.raises(PlanError, match="no group view"):
        GroupLasso(0.1, view)


@pytest.mark.parametrize("arguments", [(0,), (2.0,), (2, 2), (2, 0, 0), (True,)], ids=str)
def test_heads_that_are_none_are_refused(arguments):
    with pytest.raises(PlanError, match="whole numbers"):
        Heads(*arguments)


def test_a_tensor_that_heads_do_not_divide_is_refused_by_name():
    with pytest.raises(PlanError, match=r"cannot cut `blocks.0.weight` of \(10, 4\) into Heads\(4\)"):
        GroupLasso(0.1, Heads(4)).on("blocks.0.weight", torch.zeros(10, 4))
    with pytest.raises(PlanError, match=r"axis=1"):
        GroupLasso(0.1, Heads(4, axis=1)).on("bias", torch.zeros(8))


def test_which_views_lie_within_which():
    assert nested("filters", "layers")
    assert nested("filters", Heads(2))
    assert nested("channels", Heads(2, axis=1))
    assert not nested("channels", Heads(2))
    assert not nested("layers", "filters")
    assert not nested(Heads(2), Heads(4))

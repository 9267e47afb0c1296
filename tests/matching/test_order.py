import pytest
import torch
from torch import nn

from tether.errors import MatchError
from tether.matching.order import pair_in_order
from tether.matching.slots import slots


def net(*, classes=2):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


def test_the_nth_goes_to_the_nth():
    source, target = net(), net()
    sources = {f"x.{name}": tensor for name, tensor in source.state_dict().items()}
    paired = pair_in_order(sources, slots(target))
    assert paired == {name: f"x.{name}" for name in target.state_dict()}


def test_counters_on_one_side_only_are_passed_over():
    paired = pair_in_order({f"x.{n}": t for n, t in net().state_dict().items() if "tracked" not in n}, slots(net()))
    assert len(paired) == len(net().state_dict()) - 1
    assert paired["3.bias"] == "x.3.bias"


def test_a_tied_parameter_may_be_in_the_source_once_or_twice():
    model = nn.Sequential(nn.Embedding(3, 3), nn.LayerNorm(3), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    twice = {f"x.{name}": tensor for name, tensor in model.state_dict().items()}
    once = {name: tensor for name, tensor in twice.items() if name != "x.2.weight"}
    assert pair_in_order(twice, slots(model))["2.weight"] == "x.2.weight"
    assert pair_in_order(once, slots(model)) == {n: f"x.{n}" for n in ("0.weight", "1.weight", "1.bias")}


def test_the_head_may_differ_in_its_classes_alone():
    sources = {f"x.{name}": tensor for name, tensor in net(classes=7).state_dict().items()}
    assert pair_in_order(sources, slots(net()), head=["3.weight", "3.bias"])["3.weight"] == "x.3.weight"
    with pytest.raises(
        MatchError, match=r"tensor 8 of 9 is `x.3.weight` \(7, 4\) in the source and `3.weight` \(2, 4\)"
    ):
        pair_in_order(sources, slots(net()))
    sources["x.3.weight"] = torch.ones(7, 5)
    with pytest.raises(MatchError, match="tensor 8 of 9"):
        pair_in_order(sources, slots(net()), head=["3.weight", "3.bias"])


def test_equal_shapes_under_other_leaf_names_do_not_agree():
    state = net().state_dict()
    swapped = {"0.weight": 0, "0.bias": 0, "1.bias": 0, "1.weight": 0} | state
    sources = {f"x.{name}": state[name] for name in swapped}
    with pytest.raises(MatchError, match=r"tensor 3 of 9 is `x.1.bias` \(4,\) in the source and `1.weight`"):
        pair_in_order(sources, slots(net()))


@pytest.mark.parametrize("side", ["source", "model"])
def test_one_side_with_more_is_refused(side):
    longer = nn.Sequential(*net(), nn.Linear(2, 2))
    source, target = (longer, net()) if side == "source" else (net(), longer)
    sources = {f"x.{name}": tensor for name, tensor in source.state_dict().items()}
    with pytest.raises(MatchError, match=rf"after 9 that agree, the {side} has `(x\.)?4.weight`"):
        pair_in_order(sources, slots(target))

import pytest
import torch
from torch import nn

from tether.errors import MatchError
from tether.matching.slots import norms, slots


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scratch", torch.zeros(2), persistent=False)


def test_names_are_those_of_the_state_dict_in_its_order():
    model = Tied()
    assert list(slots(model)) == list(model.state_dict())


def test_a_tied_parameter_is_one_slot_under_its_first_name():
    names = slots(Tied())
    assert names["head.weight"] is names["embed.weight"]
    assert names["head.weight"].name == "embed.weight"


def test_slots_hold_the_tensors_themselves_and_tell_buffers_from_parameters():
    model = Tied()
    names = slots(model)
    assert names["embed.weight"].tensor is model.embed.weight
    assert {name for name, slot in names.items() if slot.is_buffer} == {
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }


def test_wrappers_leave_no_trace_in_names():
    wrapped = nn.DataParallel(torch.compile(nn.Linear(2, 2)))
    assert list(wrapped.state_dict()) == ["module._orig_mod.weight", "module._orig_mod.bias"]
    assert list(slots(wrapped)) == ["weight", "bias"]


def test_a_submodule_of_its_own_that_is_called_module_keeps_its_name():
    own = nn.ModuleDict({"module": nn.Linear(2, 2), "bias": nn.Linear(2, 2)})
    assert list(slots(own)) == ["module.weight", "module.bias", "bias.weight", "bias.bias"]


def test_norms_are_those_that_keep_statistics():
    model = nn.Sequential(
        nn.BatchNorm2d(2),
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.SyncBatchNorm(2, affine=False),
        nn.InstanceNorm2d(2, track_running_stats=True),
        nn.InstanceNorm2d(2, affine=True),
        nn.LayerNorm(2),
    )
    found = norms(model, slots(model))
    assert [(norm.name, norm.weights) for norm in found] == [("0", ("0.weight", "0.bias")), ("2", ()), ("3", ())]
    assert found[0].statistics == ("0.running_mean", "0.running_var")


def test_a_model_without_parameters_is_refused():
    with pytest.raises(MatchError, match="no parameters"):
        slots(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(2, affine=False)))


@pytest.mark.parametrize("hollow", [nn.LazyLinear(2), nn.Linear(2, 2, device="meta")], ids=["lazy", "meta"])
def test_a_model_without_values_is_refused(hollow):
    with pytest.raises(MatchError, match=r"2 tensors .* no values yet, the first is `0.weight`"):
        slots(nn.Sequential(hollow))

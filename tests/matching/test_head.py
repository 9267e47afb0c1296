import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from tether.errors import MatchError
from tether.matching.head import Head
from tether.matching.slots import slots

CLASSES = ["cat", "dog", "emu"]


class Zoo(nn.Module):
    """A model in the manner of timm, whose classifier is not its last layer."""

    def __init__(self, *heads):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.fc = heads[0]
        self.heads = heads
        for place, head in enumerate(heads[1:], 2):
            self.add_module(f"fc{place}", head)
        self.auxiliary = nn.Linear(4, 3)

    def get_classifier(self):
        return self.heads if len(self.heads) > 1 else self.heads[0]


def head_of(model, **kwargs):
    return Head.of(model, slots(model), **kwargs).parameters


def test_the_last_layer_with_an_output_for_each_class():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Linear(3, 5))
    assert head_of(model, target_classes=CLASSES) == ("1.weight", "1.bias")


def test_without_classes_the_last_layer():
    assert head_of(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5), nn.LayerNorm(5))) == ("1.weight", "1.bias")
    assert head_of(nn.LayerNorm(2)) == ()


def test_what_timm_calls_the_classifier_goes_first():
    assert head_of(Zoo(nn.Linear(4, 3)), target_classes=CLASSES) == ("fc.weight", "fc.bias")


def test_timm_s_classifier_is_found_inside_a_model_of_one_s_own():
    model = nn.Sequential(nn.Identity(), Zoo(nn.Linear(4, 3)))
    assert head_of(model, target_classes=CLASSES) == ("1.fc.weight", "1.fc.bias")


def test_a_distilled_model_has_two():
    model = Zoo(nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False))
    assert head_of(model, target_classes=CLASSES) == ("fc.weight", "fc2.weight")


def test_a_classifier_taken_off_is_none():
    assert head_of(Zoo(nn.Identity()), target_classes=CLASSES) == ("auxiliary.weight", "auxiliary.bias")


def test_a_named_head_is_its_last_layer_with_the_classes():
    model = nn.ModuleDict({"top": nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), "other": nn.Linear(4, 3)})
    assert head_of(model, module="top", target_classes=CLASSES) == ("top.1.weight", "top.1.bias")


def test_a_named_head_may_be_a_layer_of_one_s_own():
    class Cosine(nn.Module):
        def __init__(self):
            super().__init__()
            self.prototypes = nn.Parameter(torch.ones(3, 4))

    model = nn.Sequential(nn.Linear(4, 4), Cosine())
    assert head_of(model, module="1", target_classes=CLASSES) == ("1.prototypes",)


def test_a_parametrised_head_keeps_all_its_parameters():
    model = nn.Sequential(weight_norm(nn.Linear(4, 3)))
    names = head_of(model, target_classes=CLASSES)
    assert set(names) == {"0.bias", "0.parametrizations.weight.original0", "0.parametrizations.weight.original1"}


def test_no_layer_with_the_classes_is_refused_and_the_layers_are_shown():
    with pytest.raises(MatchError, match="the model has no layer with 3 outputs") as refusal:
        head_of(nn.Sequential(nn.Linear(4, 10)), target_classes=CLASSES)
    assert "`0` (10)" in refusal.value.why and "head=" in refusal.value.fix


def test_timm_s_classifier_with_other_outputs_is_refused():
    with pytest.raises(MatchError, match="the model's classifier has no layer with 3 outputs"):
        head_of(Zoo(nn.Linear(4, 10)), target_classes=CLASSES)


def test_a_head_without_parameters_is_refused():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout())
    with pytest.raises(MatchError, match="`1` of the model has no layer with 3 outputs"):
        head_of(model, module="1", target_classes=CLASSES)


def test_a_module_that_is_not_there_is_refused_with_the_nearest():
    model = nn.ModuleDict({"classifier": nn.Linear(4, 3)})
    with pytest.raises(MatchError, match="no module `clasifier`") as refusal:
        head_of(model, module="clasifier", target_classes=CLASSES)
    assert "`classifier`" in refusal.value.fix


@pytest.mark.parametrize("side", ["target", "source"])
def test_a_class_named_twice_is_refused(side):
    model = nn.Linear(4, 3)
    classes = {"target_classes": CLASSES, "source_classes": CLASSES} | {f"{side}_classes": ["cat", "dog", "cat"]}
    with pytest.raises(MatchError, match=f"the {side} classes name `cat` more than once"):
        head_of(model, **classes)

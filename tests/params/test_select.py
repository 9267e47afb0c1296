import pytest
import torch
from torch import nn

from tether.errors import NoParameterSelected
from tether.params.select import aliases, canonical, parameters, select


def tied() -> nn.Module:
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4)})
    model["head"].weight = model["embed"].weight
    return model


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("module.fc.weight", "fc.weight"),
        ("_orig_mod.module.fc.weight", "fc.weight"),
        ("block._fsdp_wrapped_module.fc.weight", "block.fc.weight"),
        ("submodule.fc.weight", "submodule.fc.weight"),
        ("fc.weight", "fc.weight"),
    ],
)
def test_what_wrappers_put_into_a_name_is_dropped(name, plain):
    assert canonical(name) == plain


def test_a_wrapped_model_has_the_names_of_the_plain_one():
    model = nn.Sequential(nn.Linear(2, 2))
    assert list(parameters(nn.DataParallel(model))) == list(parameters(torch.compile(model))) == list(parameters(model))


def test_a_tied_parameter_is_one_and_has_two_names():
    assert list(parameters(tied())) == ["embed.weight", "head.bias"]
    assert aliases(tied()) == {"embed.weight": ("embed.weight", "head.weight"), "head.bias": ("head.bias",)}


@pytest.mark.parametrize("glob", ["embed.*", "head.w*", "*.weight"])
def test_a_glob_over_either_name_selects_it(glob):
    assert select(glob, aliases(tied()), argument="new") == ["embed.weight"]


def test_a_glob_is_case_sensitive_and_meets_whole_names():
    names = {"fc.weight": ("fc.weight",)}
    for glob in ("FC.*", "fc", "weight"):
        with pytest.raises(NoParameterSelected):
            select(glob, names, argument="new")


def test_a_glob_that_selects_nothing_shows_the_last_parameters():
    with pytest.raises(NoParameterSelected, match=r"`new='classifier\.\*'` selects no parameter") as refusal:
        select("classifier.*", aliases(tied()), argument="new")
    assert "`head.bias`" in refusal.value.fix

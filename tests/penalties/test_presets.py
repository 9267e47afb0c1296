import pytest
import torch

from tether.errors import SettingsError
from tether.penalties.ball import MarsBall
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import PRESETS, preset
from tether.penalties.weighted import Weighted

FISHER = {"weight": torch.ones(2)}


@pytest.mark.parametrize(
    ("name", "arguments", "transferred", "new", "via"),
    [
        ("none", {}, None, None, "prox"),
        ("l2", {"strength": 0.3}, L2(0.3).toward("zero"), L2(0.3), "gradient"),
        ("differential_l2", {}, L2(1e-5).toward("zero"), L2(1e-4), "gradient"),
        ("l2_sp", {}, L2(0.1), L2(0.01), "gradient"),
        ("l1_sp", {"alpha": 0.2}, L1(0.2), L2(0.01), "prox"),
        ("group_lasso_sp", {"alpha": 0.2, "view": "layers"}, GroupLasso(0.2, "layers"), L2(0.01), "prox"),
        ("l2_sp_fisher", {"fisher": FISHER}, Weighted(0.1, FISHER), L2(0.01), "gradient"),
        ("ewc", {"fisher": FISHER, "strength": 50.0}, Weighted(50.0, FISHER), None, "gradient"),
        ("mars_sp", {"radius": 4.0}, MarsBall(4.0), None, "prox"),
        ("mars_sp", {"radius": 4.0, "new": 2.0}, MarsBall(4.0), MarsBall(2.0), "prox"),
        ("fedprox", {"mu": 0.1}, L2(0.1), None, "gradient"),
        ("frozen", {}, Frozen(), None, "prox"),
    ],
)
def test_a_preset_is_this_plan(name, arguments, transferred, new, via):
    assert preset(name, arguments) == Plan(transferred=transferred, new=new, via=via, name=name)


def test_these_are_all():
    assert set(PRESETS) == {
        "none",
        "l2",
        "differential_l2",
        "l2_sp",
        "l1_sp",
        "group_lasso_sp",
        "l2_sp_fisher",
        "ewc",
        "mars_sp",
        "fedprox",
        "frozen",
    }


def test_every_preset_cites_or_says_what_it_is():
    assert all(PRESETS[name].__doc__ for name in PRESETS)


def test_an_unknown_preset_says_what_is_near():
    with pytest.raises(SettingsError, match="did you mean `l2_sp`"):
        preset("l2sp", {})


def test_an_unknown_argument_says_what_is_near():
    with pytest.raises(SettingsError, match="did you mean `alpha`"):
        preset("l2_sp", {"alhpa": 1.0})


def test_an_argument_without_a_default_must_be_given():
    with pytest.raises(SettingsError, match="needs `alpha`"):
        preset("l1_sp", {})

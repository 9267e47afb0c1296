import pytest

from tether.errors import SettingsError
from tether.penalties.frozen import Frozen
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("name", "arguments", "transferred", "new", "via"),
    [
        ("none", {}, None, None, "prox"),
        ("l2", {"strength": 0.3}, L2(0.3).toward("zero"), L2(0.3), "gradient"),
        ("differential_l2", {}, L2(1e-5).toward("zero"), L2(1e-4), "gradient"),
        ("l2_sp", {}, L2(0.1), L2(0.01), "gradient"),
        ("l1_sp", {"alpha": 0.2}, L1(0.2), L2(0.01), "prox"),
        ("frozen", {}, Frozen(), None, "prox"),
    ],
)
def test_a_preset_is_this_plan(name, arguments, transferred, new, via):
    assert preset(name, arguments) == Plan(transferred=transferred, new=new, via=via, name=name)


def test_these_are_all():
    assert set(PRESETS) == {"none", "l2", "differential_l2", "l2_sp", "l1_sp", "frozen"}


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

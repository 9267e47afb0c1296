import pytest

from tether.errors import NoParameterSelected, PlanError
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import l2_sp
from tether.penalties.pull import Pull

NAMES = {"a.weight": ("a.weight", "tied.weight"), "a.bias": ("a.bias",), "head.weight": ("head.weight",)}
ROLES = {"a.weight": {"transferred"}, "a.bias": {"transferred"}, "head.weight": {"new"}}
SPLIT = {**ROLES, "head.weight": {"transferred", "new"}}


def test_transferred_goes_to_the_source_and_new_to_zero():
    assert Plan(L2(0.1), L2(0.01)).pulls(NAMES, ROLES) == {
        ("a.weight", "transferred"): Pull(L2(0.1), "source"),
        ("a.bias", "transferred"): Pull(L2(0.1), "source"),
        ("head.weight", "new"): Pull(L2(0.01), "zero"),
    }


def test_a_partly_new_parameter_has_both_pulls():
    found = Plan(L2(0.1), L2(0.01)).pulls(NAMES, SPLIT)
    assert found["head.weight", "transferred"] == Pull(L2(0.1), "source")
    assert found["head.weight", "new"] == Pull(L2(0.01), "zero")


def test_an_override_of_a_partly_new_parameter_holds_its_new_rows_to_zero():
    found = Plan(L2(0.1), overrides={"head.*": L1(0.5).toward("source")}).pulls(NAMES, SPLIT)
    assert found["head.weight", "transferred"] == Pull(L1(0.5), "source")
    assert found["head.weight", "new"] == Pull(L1(0.5), "zero")


def test_of_overrides_the_last_match_wins():
    plan = Plan(L2(0.1), overrides={"a.*": L1(1.0), "*.bias": None})
    assert plan.pulls(NAMES, ROLES) == {("a.weight", "transferred"): Pull(L1(1.0), "source")}
    turned = Plan(L2(0.1), overrides={"*.bias": None, "a.*": L1(1.0)})
    assert turned.pulls(NAMES, ROLES)["a.bias", "transferred"] == Pull(L1(1.0), "source")


def test_a_glob_over_either_name_of_a_tied_parameter_meets_it():
    found = Plan(overrides={"tied.*": L2(1.0)}).pulls(NAMES, ROLES)
    assert found == {("a.weight", "transferred"): Pull(L2(1.0), "source")}


def test_a_strength_of_zero_holds_nothing():
    found = Plan(L2(0.0), L2(0.01)).pulls(NAMES, ROLES)
    assert list(found) == [("head.weight", "new")]


def test_scaled_multiplies_every_strength():
    plan = Plan(L2(0.1), L2(0.01).toward("zero"), overrides={"*.bias": None, "a.*": L1(1.0)})
    assert plan.scaled(2.0) == Plan(L2(0.2), L2(0.02).toward("zero"), overrides={"*.bias": None, "a.*": L1(2.0)})


def test_it_reads_on_one_line():
    plan = Plan(L2(0.1), overrides={"*.bias": None, "a.*": GroupLasso(1.0)})
    said = 'transferred → source: L2(0.1) · new: free · *.bias: nothing · a.*: GroupLasso(1.0, "filters") · by prox'
    assert str(plan) == said


def test_a_glob_that_matches_nothing_is_refused():
    with pytest.raises(NoParameterSelected, match=r"overrides='\*.scale'"):
        Plan(L2(0.1), overrides={"*.scale": None}).pulls(NAMES, ROLES)


def test_a_plan_that_holds_nothing_is_refused():
    with pytest.raises(NoParameterSelected, match="holds no parameter"):
        Plan(L2(0.1), overrides={"*": None}).pulls(NAMES, ROLES)


def test_a_pull_to_a_source_where_nothing_was_transferred_is_refused():
    with pytest.raises(NoParameterSelected, match="no parameter was transferred"):
        l2_sp().pulls(NAMES, {name: {"new"} for name in NAMES})


def test_the_empty_plan_holds_nothing_and_is_one():
    assert Plan().pulls(NAMES, ROLES) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transferred": 0.1}, "transferred=0.1"),
        ({"overrides": {"*.bias": "none"}}, r"overrides\['\*.bias'\]"),
        ({"via": "loss"}, "via='loss'"),
        ({"new": L2(0.1).toward("source")}, "`new` cannot pull toward the source"),
        ({"transferred": Frozen(), "via": "gradient"}, "has no gradient"),
        ({"overrides": {"a.*": Frozen()}, "via": "gradient"}, "has no gradient"),
    ],
)
def test_a_contradiction_is_refused(arguments, message):
    with pytest.raises(PlanError, match=message):
        Plan(**arguments)


def test_an_override_of_a_new_parameter_toward_a_source_is_refused():
    plan = Plan(L2(0.1), overrides={"head.*": L2(0.1).toward("source")})
    with pytest.raises(PlanError, match=r"new parameter `head.weight` toward a source"):
        plan.pulls(NAMES, ROLES)

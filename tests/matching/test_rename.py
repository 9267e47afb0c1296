import pytest

from tether.errors import MatchError
from tether.matching.rename import Rename, pair_names

LAYERS = ["conv.weight", "conv.bias", "norm.weight"]


def under(prefix, names=LAYERS):
    return [f"{prefix}{name}" for name in names]


def test_equal_names_pair_and_others_do_not():
    paired, renames = pair_names(["conv.weight", "old.bias"], LAYERS)
    assert paired == {"conv.weight": "conv.weight"}
    assert renames == ()


def test_what_wrappers_put_into_a_source_name_is_no_part_of_it():
    paired, renames = pair_names(["module.conv._orig_mod.weight"], LAYERS)
    assert paired == {"conv.weight": "module.conv._orig_mod.weight"}
    assert renames == ()


def test_renames_apply_one_after_the_other():
    rules = [(r"^net\.", ""), (r"layer(\d+)", r"block\1")]
    paired, renames = pair_names(["net.layer3.weight", "net.stem"], ["block3.weight", "stem"], rules)
    assert paired == {"block3.weight": "net.layer3.weight", "stem": "net.stem"}
    assert renames == (Rename(r"^net\.", "", 2), Rename(r"layer(\d+)", r"block\1", 1))


def test_a_rename_goes_before_an_equal_name():
    paired, _ = pair_names(["first.weight"], ["first.weight", "second.weight"], [("^first", "second")])
    assert paired == {"second.weight": "first.weight"}


def test_a_prefix_of_the_source_is_found():
    paired, renames = pair_names([*under("backbone."), "head.weight"], LAYERS)
    assert paired == {name: f"backbone.{name}" for name in LAYERS}
    assert renames == (Rename(r"^backbone\.", "", 3, found=True),)


def test_a_prefix_of_the_target_is_found():
    paired, renames = pair_names(LAYERS, [*under("model.encoder."), "head.weight"])
    assert paired == {f"model.encoder.{name}": name for name in LAYERS}
    assert renames == (Rename("^", "model.encoder.", 3, found=True),)


def test_a_prefix_is_found_beside_equal_names():
    paired, _ = pair_names([*under("backbone."), "fc.weight"], [*LAYERS, "fc.weight"])
    assert paired == {name: f"backbone.{name}" for name in LAYERS} | {"fc.weight": "fc.weight"}


def test_a_prefix_that_half_of_the_names_have_is_not_enough():
    paired, renames = pair_names(["backbone.a.w", "backbone.b.w", "c", "d"], ["a.w", "b.w", "e", "f"])
    assert (paired, renames) == ({}, ())


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (under("student.") + under("teacher."), LAYERS),
        (LAYERS, under("encoder_q.") + under("encoder_k.")),
    ],
)
def test_two_prefixes_that_would_do_are_refused(sources, targets):
    with pytest.raises(MatchError, match="more than one prefix") as refusal:
        pair_names(sources, targets)
    assert "--rename" in refusal.value.fix


@pytest.mark.parametrize(
    "rule", [("(", ""), ("conv", r"\7"), ("conv", r"\g<name>"), ("a{99999999999999999999}", ""), ("(" * 5000, "")]
)
def test_a_rule_that_is_no_regular_expression_is_refused(rule):
    with pytest.raises(MatchError, match="no regular expression"):
        pair_names(LAYERS, LAYERS, [rule])


@pytest.mark.parametrize("rule", [("absent", "x"), ("conv", "conv")])
def test_a_rule_that_changes_nothing_is_refused_and_shows_the_names(rule):
    with pytest.raises(MatchError, match="changes none of the 3 source names") as refusal:
        pair_names(LAYERS, LAYERS, [rule])
    assert "`conv.weight`" in refusal.value.why


def test_two_sources_for_one_target_are_refused():
    with pytest.raises(MatchError, match=r"`conv.weight` and `old.weight` of the source both end as `conv.weight`"):
        pair_names(["conv.weight", "old.weight"], LAYERS, [("^old", "conv")])


def test_two_sources_for_a_name_that_is_no_target_are_nobodys_business():
    assert pair_names(["conv.weight", "a", "b"], LAYERS, [("^[ab]$", "z")])[0] == {"conv.weight": "conv.weight"}

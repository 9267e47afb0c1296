"""What a study knows of presets, penalties and terms without torch is what they are."""

import inspect

import pytest

from tether.engine.build import plan
from tether.errors import SettingsError
from tether.penalties.base import Penalty
from tether.penalties.presets import PRESETS as REAL
from tether.penalties.presets import needs_fisher, preset, refuse_arguments
from tether.penalties.text import PARTS as REAL_PARTS
from tether.penalties.text import PENALTIES, parse
from tether.spec import PlanSpec
from tether.study.known import CONSTRAINTS, PARTS, PRESETS, TAUGHT, has_strength, is_taught, refuse_preset, weighs
from tether.terms.text import TERMS


def test_every_preset_is_known_and_no_other() -> None:
    assert PRESETS.keys() == set(REAL)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_what_it_is_known_to_take(name: str) -> None:
    takes = {key: one for key, one in inspect.signature(REAL[name]).parameters.items() if key != "fisher"}
    assert {key for key, one in takes.items() if one.default is one.empty} == set(PRESETS[name].needs)
    assert {key: one.default for key, one in takes.items() if one.default is not one.empty} == PRESETS[name].defaults
    assert weighs(PlanSpec(preset=name)) == needs_fisher(name)


@pytest.mark.parametrize("name", [name for name in PRESETS if not PRESETS[name].weighs])
def test_what_has_a_strength_is_changed_by_its_scale(name: str) -> None:
    made = preset(name, dict.fromkeys(PRESETS[name].needs, 1.0))
    assert has_strength(PlanSpec(preset=name)) == (made.scaled(2) != made)
    assert PRESETS[name].strong or made.via == "prox"


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "L2(1)",
        "Frozen()",
        "MarsBall(1)",
        "FrobeniusBall(1)",
        "L1(1) + L2(2)",
        "0.5 * L1(1)",
        "GroupLasso(1, Heads(2))",
        'L2(1).toward("zero", Cosine(9))',
        'MarsBall(1).toward("zero")',
    ],
)
def test_an_expression_has_a_strength_where_scaling_changes_it(text: str) -> None:
    entry = parse(text)
    changed = entry is not None and entry.scaled(2) != entry
    assert [has_strength(PlanSpec(**{key: text})) for key in ("transferred", "new")] == [changed] * 2
    assert has_strength(PlanSpec(preset="none", overrides={"*": text})) == changed


def test_constraints_parts_and_taught_terms_are_all_known() -> None:
    uncoupled = {name for name in PENALTIES if isinstance(PENALTIES[name], type) and not _coupled(name)}
    assert uncoupled == CONSTRAINTS
    assert set(REAL_PARTS) == PARTS
    assert {name for name in TERMS if getattr(TERMS[name], "taught", False)} == TAUGHT


def _coupled(name: str) -> bool:
    found = PENALTIES[name]
    assert isinstance(found, type)
    assert issubclass(found, Penalty)
    return bool(found.coupled)


@pytest.mark.parametrize(
    ("loss", "taught"), [("Classify()", False), ("Classify() + 0.1 * LogitDistill()", True), ("LogitDistill", False)]
)
def test_an_objective_is_taught_where_a_term_asks_the_source(loss: str, taught: bool) -> None:
    assert is_taught(loss) == taught


@pytest.mark.parametrize(
    "spec",
    [
        PlanSpec(preset="l2sp"),
        PlanSpec(preset="l2_sp", args={"alpa": 1.0}),
        PlanSpec(preset="l1_sp"),
        PlanSpec(preset="frozen", args={"alpha": 1.0}),
    ],
    ids=str,
)
def test_a_preset_is_refused_as_it_is_when_it_is_made(spec: PlanSpec) -> None:
    assert spec.preset is not None
    with pytest.raises(SettingsError) as expected:
        refuse_arguments(spec.preset, spec.args)
    with pytest.raises(SettingsError) as found:
        refuse_preset(spec)
    assert (found.value.what, found.value.why) == (expected.value.what, expected.value.why)


@pytest.mark.parametrize("spec", [PlanSpec(), PlanSpec(preset="l1_sp", args={"alpha": 1.0}), PlanSpec(preset="l2")])
def test_a_preset_that_is_right_passes(spec: PlanSpec) -> None:
    refuse_preset(spec)
    plan(spec)

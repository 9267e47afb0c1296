"""Baselines: what every study sets its penalties beside, and what of a spec each has no use for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tether.errors import SettingsError
from tether.spec import RunSpec
from tether.study.known import PRESETS, has_strength, is_taught, weighs

Kind = Literal["fit", "scratch", "linear probe", "lp-ft"]


@dataclass(frozen=True)
class Baseline:
    """A way to train that a study always has.

    Args:
        kind: `fit` is a run of the spec as it stands. `scratch` is one without a source: what preprocessing the source
            would say is settled with the source first, so that all see the same pictures. `linear probe` trains
            nothing, and its outcome is the probe of the network as transferred. `lp-ft` fits the probe, puts it in the
            place of the head, and fine-tunes from there as the spec says (Kumar et al., 2022).
        preset: its plan, at the strengths of its paper.
    """

    kind: Kind
    preset: str


BASELINES = (
    Baseline("scratch", "none"),
    Baseline("linear probe", "frozen"),
    Baseline("fit", "none"),  # plain fine-tuning
    Baseline("fit", "l2"),
    Baseline("fit", "differential_l2"),  # the article's
    Baseline("fit", "l2_sp"),
    Baseline("lp-ft", "none"),
)
NO_TRAINING = ("optimizer", "train", "checkpoint", "batchnorm", "data.augment", "source.head")


def baseline_spec(spec: RunSpec, baseline: Baseline) -> RunSpec:
    """The spec of a baseline beside runs of `spec`: all of it but the plan, and what the baseline has no use for.

    Raises:
        SettingsError: there is no source.
    """
    if spec.source is None:
        raise SettingsError(
            "a study's baselines need a source, and the spec has none",
            why="all but one of them start from what it knows",
            fix="--source …, or --no-baselines",
        )
    tree = spec.model_dump(exclude_none=True) | {"plan": {"preset": baseline.preset}}
    return RunSpec.parse(tree)


def idle(spec: RunSpec, kind: Kind) -> Iterator[str]:
    """The keys, of settings and of whole sections, that change nothing in a run of that spec and kind."""
    if kind == "scratch":
        yield "source"
    if kind in ("scratch", "linear probe"):
        yield "probe"
    if kind == "linear probe":
        yield from NO_TRAINING
    if kind == "lp-ft":
        yield "source.head"
    if kind == "scratch" or spec.source is None:
        yield "batchnorm"
    if not has_strength(spec.plan):
        yield from ("plan.scale", "plan.via", "plan.metric")
    if not weighs(spec.plan):
        yield "fisher"


def canonical(spec: RunSpec, kind: Kind) -> RunSpec:
    """One spec for all that run alike: the default preset by name, defaults not given, and what is idle not set."""
    tree = spec.model_dump(exclude_none=True)
    plan = tree["plan"]
    if not plan.keys() & {"preset", "transferred", "new"}:
        plan["preset"] = "l2_sp" if spec.source else "none"
    defaults = PRESETS[plan["preset"]].defaults if plan.get("preset") in PRESETS else {}
    plan["args"] = {name: value for name, value in plan["args"].items() if defaults.get(name) != value}
    for key in idle(RunSpec.parse(tree), kind):
        _unset(tree, key)
    if kind == "scratch" and is_taught(spec.train.loss):
        _unset(tree, "train.loss")
    if kind == "linear probe":
        tree["probe"] = True
    return RunSpec.parse(tree)


def _unset(tree: dict[str, Any], key: str) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree.get(section, {})
    tree.pop(leaf, None)

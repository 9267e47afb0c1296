"""Baselines: what every study sets its penalties beside, and what of a spec each has no use for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tether.errors import SettingsError
from tether.settings import with_settings
from tether.spec import RunSpec, SourceSpec, TrainSpec
from tether.study.known import PRESETS, has_strength, is_taught, weighs

Kind = Literal["fit", "scratch", "linear probe", "lp-ft"]


@dataclass(frozen=True)
class Baseline:
    """A way to train that a study always has.

    Args:
        kind: `scratch` is a run without a source. `linear probe` trains nothing, with the probe of the network as
            transferred for its head. `lp-ft` fine-tunes from that head (Kumar et al., 2022).
        preset: its plan, with the arguments of its paper.
        settings: what else of the spec it sets.
    """

    kind: Kind
    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)


BASELINES = (
    Baseline("scratch", "none"),
    Baseline("linear probe", "frozen", {"source.head": "probe", "train.epochs": 0}),
    Baseline("fit", "none"),  # plain fine-tuning
    Baseline("fit", "l2"),
    Baseline("fit", "differential_l2"),  # the article's
    Baseline("fit", "l2_sp"),
    Baseline("lp-ft", "none", {"source.head": "probe"}),
)
OF_TRAINING = tuple(f"train.{name}" for name in TrainSpec.model_fields)
NO_TRAINING = ("optimizer", *OF_TRAINING, "checkpoint", "batchnorm", "data.augment")


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
    plan = {"plan": {"preset": baseline.preset, "scale": spec.plan.scale}}
    tree = with_settings(spec.model_dump(exclude_none=True) | plan, baseline.settings)
    if baseline.kind == "fit" and spec.source.head == "probe":
        _unset(tree, "source.head")
    if baseline.kind == "scratch":
        del tree["source"]
        tree["probe"] = False
    return RunSpec.parse(tree)


def kind_of(spec: RunSpec) -> Kind:
    """What a spec amounts to; one without a source is a fit, unless it stands beside others that have one."""
    if spec.source is None or spec.source.head != "probe":
        return "fit"
    if spec.train.epochs == 0 and spec.plan.preset == "frozen":
        return "linear probe"
    return "lp-ft" if spec.plan.preset == "none" else "fit"


def idle(spec: RunSpec, kind: Kind) -> Iterator[str]:
    """The keys, of settings and of whole sections, that change nothing in a run of that spec and kind."""
    if kind == "scratch":
        yield from (f"source.{name}" for name in SourceSpec.model_fields if name != "path")
    if kind in ("scratch", "linear probe"):
        yield "probe"
    if kind == "linear probe":
        yield from NO_TRAINING
    if kind in ("linear probe", "lp-ft"):
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
    settings = next((one.settings for one in BASELINES if one.kind == kind), {})
    return RunSpec.parse(with_settings(tree, settings))


def _unset(tree: dict[str, Any], key: str) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree.get(section, {})
    tree.pop(leaf, None)

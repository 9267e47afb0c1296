"""Configuration: what is run under every seed of a study."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tether.settings import dotted
from tether.spec import FisherSpec, PlanSpec, RunSpec, SourceSpec
from tether.study.axis import value_text
from tether.study.baselines import Kind
from tether.study.cell import OF_PLAN

Role = Literal["baseline", "varied"]
UNSAFE = re.compile(r"[^a-z0-9_]+")
LONGEST = 32
HOW = ("data.augment", "data.validation", "source.head")
SAID = {"preset", "args", "transferred", "new"}


@dataclass(frozen=True)
class Configuration:
    """One way to train, without a seed.

    Args:
        name: unlike every other's in its grid.
        method: what it is a candidate of: its preset, its expressions, or its kind.
        spec: its settings; the seed in it is 0 and means nothing.
        condition: those that the study varies and that say what is learnt from what, by dotted key.
        settings: the others that the study varies, which say how; both without those that change nothing in it.
        source: where a run from scratch has its preprocessing from, so that all see the same pictures.
        trials: of a search that has chosen numbers of it; 0 where none has.
    """

    name: str
    method: str
    role: Role
    kind: Kind
    spec: RunSpec
    condition: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    source: SourceSpec | None = None
    trials: int = 0

    @property
    def beside(self) -> Mapping[str, Any]:
        """Those of its settings that are not of the plan."""
        return {key: value for key, value in self.settings.items() if key.split(".")[0] not in OF_PLAN}

    @property
    def label(self) -> str:
        """Its name within its condition."""
        return named(self.kind, self.spec, self.beside)

    def stands_in(self, condition: Mapping[str, Any]) -> bool:
        """Whether it is of a condition; a run from scratch, which no source matters to, is of each that has its own."""
        is_within = self.condition.items() <= condition.items()
        return is_within and (self.kind == "scratch" or len(self.condition) == len(condition))

    @property
    def digest(self) -> str:
        """SHA-256 of what it runs; equal for what would run alike."""
        source = self.source.model_dump_json() if self.source else ""
        return hashlib.sha256(f"{source}\n{self.spec.digest}".encode()).hexdigest()

    def at(self, seed: int) -> RunSpec:
        """Its spec with a seed, of which the split, the new head and the batches are functions."""
        return self.spec.model_copy(update={"seed": seed})

    def folder(self, seed: int) -> str:
        """A name for the folder of a run: lower-case, short, and the same in every grid that has this run."""
        word = self.kind if self.kind != "fit" else self.spec.plan.preset or "plan"
        return f"{UNSAFE.sub('-', word.lower())[:LONGEST].strip('-') or 'plan'}-{self.digest[:16]}-seed-{seed}"


def is_condition(key: str) -> bool:
    """Whether a setting says what is learnt from what, so that its values are told apart and none is chosen."""
    return key.split(".", maxsplit=1)[0] in ("data", "model", "source", "preprocessing") and key not in HOW


def method_of(kind: Kind, plan: PlanSpec) -> str:
    """What a configuration is a candidate of."""
    if kind != "fit":
        return kind
    return plan.preset or " · ".join(_expressions(plan))


def named(kind: Kind, spec: RunSpec, context: Mapping[str, Any]) -> str:
    """A name that says the plan, and of the other settings those that the study varies."""
    parts = [kind] if kind != "fit" else list(_plan(spec.plan, spec.fisher))
    return " · ".join([*parts, *(f"{key} {value_text(value)}" for key, value in context.items())])


def _plan(plan: PlanSpec, fisher: FisherSpec) -> Iterator[str]:
    if plan.preset is None:
        yield from _expressions(plan)
    else:
        told = ", ".join(f"{name}={value!r}" for name, value in plan.args.items())
        yield f"{plan.preset}({told})" if told else plan.preset
    yield from _given("plan", plan.model_dump(exclude_defaults=True, exclude=SAID))
    yield from _given("fisher", fisher.model_dump(exclude_defaults=True))


def _expressions(plan: PlanSpec) -> Iterator[str]:
    yield f"transferred {value_text(plan.transferred or 'none')}"
    yield f"new {value_text(plan.new or 'none')}"


def _given(section: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _given(f"{section}.{dotted((key,))}", value)
        else:
            yield f"{section}.{dotted((key,))} {_short(value)}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else value_text(value)

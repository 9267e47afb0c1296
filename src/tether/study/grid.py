"""Grid: every configuration of a study and its seeds, known to be right before the first run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.registry import did_you_mean
from tether.settings import dotted
from tether.spec import PlanSpec, RunSpec, SourceSpec
from tether.study.baselines import BASELINES, Kind, baseline_spec, canonical, idle, kind_of
from tether.study.cell import MOST_RUNS, Cell, cells, too_many
from tether.study.configuration import Configuration, Role, is_condition, method_of, named
from tether.study.known import PRESETS

HIGHEST_SEED = 2**32 - 1
MOST_LINES = 60


@dataclass(frozen=True)
class Grid:
    """The configurations of a study, each to be run under every seed.

    Args:
        dropped: by axis, the varied plans that have no use for it.
        merged: by configuration, how many others that were asked for would run alike.
    """

    configurations: tuple[Configuration, ...]
    seeds: tuple[int, ...]
    dropped: Mapping[str, tuple[str, ...]]
    merged: Mapping[str, int]

    def runs(self) -> Iterator[tuple[Configuration, int, RunSpec]]:
        """Every run, seed by seed, so that a study that is cut has whole pairs."""
        for seed in self.seeds:
            for configuration in self.configurations:
                yield configuration, seed, configuration.at(seed)

    def __str__(self) -> str:
        count, seeds = len(self.configurations), len(self.seeds)
        lines = [f"{_of(count, 'configuration')} × {_of(seeds, 'seed')} = {_of(count * seeds, 'run')}"]
        lines += [f"  {one.role:8}  {terminal(one.name)}" for one in self.configurations[:MOST_LINES]]
        lines += [f"  … and {count - MOST_LINES:,} more"] if count > MOST_LINES else []
        lines += [
            f"dropped {terminal(axis)}: not of {', '.join(map(terminal, plans))}"
            for axis, plans in self.dropped.items()
        ]
        if self.merged:
            alike = [f"{terminal(name)} ({more:,} more)" for name, more in self.merged.items()]
            extra = f", and of {len(alike) - 10:,} others" if len(alike) > 10 else ""
            lines.append(f"merged what would run alike: {', '.join(alike[:10])}{extra}")
        return "\n".join(lines)


def grid(
    spec: RunSpec,
    vary: Mapping[str, Sequence[Any]],
    seeds: Iterable[int],
    *,
    points: Sequence[Mapping[str, Any]] = (),
    baselines: bool = True,
) -> Grid:
    """All combinations of the values of `vary`, then `points`, on top of `spec`, with the baselines beside them.

    The baselines are there once for every combination of settings that are not of the plan, and of `plan.scale`, with
    the arguments of their papers, so that each is tuned as much as the others. An axis that a plan has no use for is
    dropped for it, and of configurations that would run alike there is one. The test part is one for all seeds.

    Args:
        vary: values by dotted key of the spec; `plan` takes presets as `--plan` does.
        points: settings by dotted key, each of them one configuration.

    Raises:
        SettingsError: an axis is empty, has a value twice, is `seed`, or is of use to no configuration; a configuration
            has an unknown setting, a wrong value or a contradiction; a seed is wrong or there twice; a baseline has no
            source; or there are more than 100,000 runs.

    >>> base = {"model": {"name": "digits-cnn"}, "data": {"path": "digits"}, "source": {"path": "mnist"}}
    >>> print(grid(RunSpec.parse(base), {"plan": ["none", "l2_sp"], "plan.scale": [1, 10]}, range(2), baselines=False))
    3 configurations × 2 seeds = 6 runs
      varied    none
      varied    l2_sp
      varied    l2_sp · plan.scale 10
    dropped plan.scale: not of none
    merged what would run alike: none (1 more)
    """
    chosen = _seeds(seeds)
    given = list(cells(vary, points, most=MOST_RUNS // len(chosen)))
    test_seed = 0 if spec.data.test_seed is None else spec.data.test_seed
    made = _Made(spec.replace({"seed": 0, "data.test_seed": test_seed}))
    for context in _contexts(given) if baselines else ():
        made.add_baselines(context)
    for cell in given:
        made.add(cell)
    made.refuse_idle(key for cell in given for key in cell.settings)
    configurations = tuple(made.found.values())
    if len(configurations) * len(chosen) > MOST_RUNS:
        raise too_many(len(configurations), f"times {_of(len(chosen), 'seed')}")
    dropped = {axis: tuple(plans) for axis, plans in made.dropped.items()}
    return Grid(configurations, chosen, dropped, made.merged)


@dataclass
class _Made:
    """The configurations so far, by digest."""

    base: RunSpec
    found: dict[str, Configuration] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    dropped: dict[str, dict[str, None]] = field(default_factory=dict)
    merged: dict[str, int] = field(default_factory=dict)

    def add(self, cell: Cell) -> None:
        spec, lacking = cell.changed(self.base)
        self._enter("varied", kind_of(spec), spec, cell, lacking)

    def add_baselines(self, context: Cell) -> None:
        spec, _ = context.changed(self.base.model_copy(update={"plan": PlanSpec()}))
        for baseline in BASELINES:
            source = spec.source if baseline.kind == "scratch" else None
            self._enter("baseline", baseline.kind, baseline_spec(spec, baseline), context, (), source=source)

    def _enter(
        self,
        role: Role,
        kind: Kind,
        spec: RunSpec,
        cell: Cell,
        lacking: Sequence[str],
        *,
        source: SourceSpec | None = None,
    ) -> None:
        spec = canonical(spec, kind)
        unused = tuple(idle(spec, kind))
        idling = {key for key in cell.settings if key in lacking or _lies_in(key, unused)}
        self.used |= cell.settings.keys() - idling
        label = kind if kind != "fit" else spec.plan.preset or "expressions"
        for key in sorted(idling) if role == "varied" else ():
            self.dropped.setdefault(key, {})[label] = None
        beside = {key: value for key, value in cell.beside_plan.items() if key not in idling}
        kept = {key: value for key, value in cell.settings.items() if key not in {*idling, "plan"}}
        made = Configuration(
            named(kind, spec, beside),
            method_of(kind, spec.plan),
            role,
            kind,
            spec,
            {key: value for key, value in kept.items() if is_condition(key)},
            {key: value for key, value in kept.items() if not is_condition(key)},
            SourceSpec(path=source.path) if source else None,
        )
        held = self.found.setdefault(made.digest, made)
        if held is not made and role == "varied":
            self.merged[held.name] = self.merged.get(held.name, 0) + 1

    def refuse_idle(self, keys: Iterable[str]) -> None:
        """Refuse an axis that would change nothing at all."""
        if (key := next((key for key in keys if key not in self.used), None)) is None:
            return
        arguments = {dotted(("plan", "args", name)) for known in PRESETS.values() for name in known.arguments}
        is_unknown = key.startswith("plan.args.") and key not in arguments
        raise SettingsError(
            f"no configuration has a use for the axis `{terminal(key)}`",
            why=f"it changes nothing in {', '.join(self.dropped[key])}",
            fix=did_you_mean(key, arguments) if is_unknown else "leave it out, or vary a plan that has it",
        )


def _contexts(given: Iterable[Cell]) -> list[Cell]:
    """The different settings beside the plan and its scale, in order."""
    contexts = (cell.context for cell in given)
    return list({str(Cell(dict(sorted(context.settings.items())))): context for context in contexts}.values())


def _lies_in(key: str, sections: Iterable[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def _seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    found = tuple(islice(seeds, MOST_RUNS + 1))
    if not found or len(found) > MOST_RUNS:
        raise SettingsError(
            "a study has no seed" if not found else f"a study has more than {MOST_RUNS:,} seeds",
            why=f"every configuration runs once a seed, and there are {MOST_RUNS:,} runs at most",
            fix="--seeds 10",
        )
    if wrong := [seed for seed in found if type(seed) is not int or not 0 <= seed <= HIGHEST_SEED]:
        raise SettingsError(
            f"the seed {terminal(repr(wrong[0]))} is none",
            why=f"a seed is a whole number from 0 to {HIGHEST_SEED:,}",
            fix="--seeds 10, which is 0 to 9",
        )
    if len(set(found)) < len(found):
        raise SettingsError(
            f"the seed {Counter(found).most_common(1)[0][0]} is there twice",
            why="the same runs would be counted as two pairs",
            fix="leave one of them out",
        )
    return found


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"

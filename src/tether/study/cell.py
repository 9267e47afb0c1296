"""A cell of a grid: one value for each axis."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.settings import dotted, key_parts, with_settings
from tether.spec import RunSpec
from tether.study.axis import value_text
from tether.study.known import PRESETS, refuse_preset
from tether.words import plan_words

WHOLE_PLAN = ("plan.preset", "plan.args", "plan.transferred", "plan.new")
OF_PLAN = ("plan", "fisher")
SCALE = "plan.scale"
MOST_RUNS = 100_000


@dataclass(frozen=True)
class Cell:
    """Settings that are changed together, by dotted key; `plan` takes a preset in words."""

    settings: Mapping[str, Any]

    @property
    def context(self) -> "Cell":
        """What of it a baseline takes: all that is not of the plan, and how much every strength is multiplied by."""
        scale = {key: value for key, value in self.settings.items() if key == SCALE}
        return Cell(self.beside_plan | scale)

    @property
    def beside_plan(self) -> dict[str, Any]:
        """What of it is not of the plan."""
        return {key: value for key, value in self.settings.items() if key.split(".")[0] not in OF_PLAN}

    def changed(self, base: RunSpec) -> tuple[RunSpec, tuple[str, ...]]:
        """The spec with its settings, and those keys of its that are arguments which its preset lacks.

        Raises:
            SettingsError: a setting is unknown, out of range or contradicts another; it names the axis and the value.
        """
        tree, settings = base.model_dump(exclude_none=True), dict(self.settings)
        typed = {key: f"--vary {key}" for key in settings}
        if "plan" in settings:
            words = _plan(settings.pop("plan"))
            tree["plan"] = {key: value for key, value in tree["plan"].items() if f"plan.{key}" not in WHOLE_PLAN}
            tree["plan"] |= words
            self._refuse_twice(words["args"])
            typed |= dict.fromkeys(("plan.preset", "plan.args"), "--vary plan")
        preset = settings.get("plan.preset", tree["plan"].get("preset"))
        lacking = tuple(key for key in settings if _is_lacking(preset, key))
        kept = {key: value for key, value in settings.items() if key not in lacking}
        origin = f"`{terminal(str(self))}`" if self.settings else "the spec of the study"
        spec = RunSpec.parse(with_settings(tree, kept), origin=origin, typed=typed)
        try:
            refuse_preset(spec.plan)
        except SettingsError as error:
            raise SettingsError(f"{origin}: {error.what}", why=error.why, fix=error.fix) from None
        return spec, lacking

    def _refuse_twice(self, arguments: Mapping[str, Any]) -> None:
        for name in arguments:
            if (key := dotted(("plan", "args", name))) in self.settings:
                raise SettingsError(
                    f"`plan={terminal(self.settings['plan'])}` and the axis `{key}` set the same",
                    why="which of them is meant is not for Tether to guess",
                    fix=f"leave `{terminal(name)}` out of the plan, or the axis out",
                )

    def __str__(self) -> str:
        return " ".join(f"{key}={value_text(value)}" for key, value in self.settings.items())


def cells(vary: Mapping[str, Sequence[Any]], points: Sequence[Mapping[str, Any]], *, most: int) -> Iterator[Cell]:
    """All combinations of the values of the axes, then the listed points; the spec as it is where there are neither.

    Raises:
        SettingsError: an axis is empty, has a value twice, is `seed`, or holds another; or there are more than `most`.
    """
    axes = _keyed({key: _values(key, values) for key, values in vary.items()})
    listed = [_keyed(point) for point in points]
    count = math.prod(map(len, axes.values())) * bool(axes or not listed) + len(listed)
    if count > most:
        raise too_many(count, f"more than {most:,} × the seeds")
    if axes or not listed:
        for values in itertools.product(*axes.values()):
            yield Cell(dict(zip(axes, values, strict=True)))
    yield from map(Cell, listed)


def too_many(count: int, which: str) -> SettingsError:
    """The error of a grid that nobody will wait for."""
    return SettingsError(
        f"the grid has {count:,} configurations, {which}",
        why=f"a study has {MOST_RUNS:,} runs at most",
        fix="leave out an axis or some values, or list points",
    )


def _values(key: str, values: Sequence[Any]) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise SettingsError(
            f"the axis `{terminal(key)}` is {terminal(repr(values))}, and no list of values",
            why="each value makes a configuration",
            fix=f"{{{key!r}: [{values!r}]}}",
        )
    if not values:
        raise SettingsError(
            f"the axis `{terminal(key)}` has no value",
            why="a grid with it would have no configuration",
            fix=f"--vary {terminal(key)}=VALUE,VALUE, or leave it out",
        )
    seen: set[str] = set()
    for value in values:
        text = value_text(_plan(value) if key == "plan" else value)
        if text in seen:
            raise SettingsError(
                f"the axis `{terminal(key)}` has the value `{terminal(value_text(value))}` twice",
                why="the same configuration would be counted as two",
                fix="leave one of them out",
            )
        seen.add(text)
    return list(values)


def _keyed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by keys as TOML writes them, none of which is another or lies in it."""
    found: dict[str, Any] = {}
    for typed, value in settings.items():
        key = dotted(tuple(key_parts(typed)))
        if key == "seed":
            raise SettingsError(
                "`seed` is no axis",
                why="every configuration has the same seeds, so that they are compared in pairs",
                fix="--seeds 10",
            )
        if other := next((one for one in found if _is_same(one, key)), None):
            raise SettingsError(
                f"the axes `{terminal(other)}` and `{terminal(key)}` set the same",
                why="which of them is meant is not for Tether to guess",
                fix="leave out one of them, or list points",
            )
        found[key] = value
    return found


def _is_same(one: str, other: str) -> bool:
    first, second = sorted((one, other), key=len)
    if first == "plan":
        return second == "plan" or second in WHOLE_PLAN
    return first == second or second.startswith(f"{first}.")


def _is_lacking(preset: Any, key: str) -> bool:
    """Whether the key is an argument that this preset does not take."""
    section, *names = key_parts(key)
    return section == "plan" and names[:1] == ["args"] and len(names) > 1 and _lacks(preset, names[1])


def _lacks(preset: Any, argument: str) -> bool:
    known = PRESETS.get(preset) if isinstance(preset, str) else PRESETS["none"]
    return known is not None and argument not in known.arguments


def _plan(value: Any) -> dict[str, Any]:
    if not isinstance(value, str):
        raise SettingsError(
            f"`--vary plan` is given {terminal(value_text(value))}",
            why="it takes presets, each a name, or a name and arguments that have names",
            fix='--vary plan=none,l2,"l2_sp(alpha=1)"',
        )
    return plan_words(value, flag="--vary plan")

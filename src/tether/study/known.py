"""What a study must know of presets, penalties and terms before torch is imported; a test holds it to the real ones."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.expression import Unread, tree
from tether.registry import did_you_mean
from tether.spec import PlanSpec


@dataclass(frozen=True)
class Known:
    """A preset: the arguments that it needs, the others with their defaults, and what it has.

    Args:
        strong: whether it has a strength; what has none is nothing or a constraint, and acts in one way only.
        weighs: whether it weighs by a Fisher information.
    """

    needs: tuple[str, ...] = ()
    defaults: Mapping[str, float | str | None] = field(default_factory=dict)
    strong: bool = True
    weighs: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """All that it takes."""
        return (*self.needs, *self.defaults)


PRESETS: Mapping[str, Known] = {
    "none": Known(strong=False),
    "l2": Known(defaults={"strength": 1e-4}),
    "differential_l2": Known(defaults={"new": 1e-4, "transferred": 1e-5}),
    "l2_sp": Known(defaults={"alpha": 0.1, "beta": 0.01}),
    "l1_sp": Known(("alpha",), {"beta": 0.01}),
    "group_lasso_sp": Known(("alpha",), {"beta": 0.01, "view": "filters"}),
    "l2_sp_fisher": Known(defaults={"alpha": 0.1, "beta": 0.01}, weighs=True),
    "ewc": Known(("strength",), weighs=True),
    "mars_sp": Known(("radius",), {"new": None}, strong=False),
    "fedprox": Known(("mu",)),
    "frozen": Known(strong=False),
}
CONSTRAINTS = frozenset({"FrobeniusBall", "MarsBall", "Frozen"})
PARTS = frozenset({"Annealing", "Constant", "Cosine", "Heads"})
TAUGHT = frozenset({"Delta", "FeatureDistill", "LogitDistill"})


def refuse_preset(plan: PlanSpec) -> None:
    """Refuse a preset that is not known, or that does not take such arguments; another package's is left to it.

    Raises:
        SettingsError: see above.
    """
    name = plan.preset
    if name is None or (name not in PRESETS and entry_points(group="tether.preset", name=name)):
        return
    if name not in PRESETS:
        why = f"Tether has {len(PRESETS)}, and other packages may add theirs"
        raise SettingsError(f"no preset is named `{terminal(name)}`", why=why, fix=did_you_mean(name, PRESETS))
    takes = PRESETS[name].arguments
    if other := next((one for one in plan.args if one not in takes), None):
        raise SettingsError(
            f"the preset `{name}` has no argument `{terminal(other)}`",
            why=f"it takes {', '.join(f'`{one}`' for one in takes) or 'none'}",
            fix=did_you_mean(other, takes),
        )
    if missing := next((one for one in PRESETS[name].needs if one not in plan.args), None):
        raise SettingsError(
            f"the preset `{name}` needs `{missing}`",
            why="no value of it is right in general",
            fix=f'plan="{name}({missing}=…)"',
        )


def has_strength(plan: PlanSpec) -> bool:
    """Whether anything in it is multiplied by `plan.scale`."""
    known = PRESETS.get(plan.preset or "none", Known())
    texts = (plan.transferred, plan.new, *plan.overrides.values())
    return known.strong or any(_is_strong(text) for text in texts if text is not None)


def weighs(plan: PlanSpec) -> bool:
    """Whether it needs a Fisher information; of another package's preset that is not known, so it may."""
    return plan.preset is not None and PRESETS.get(plan.preset, Known(weighs=True)).weighs


def is_taught(loss: str) -> bool:
    """Whether a term of an objective asks the source."""
    return not TAUGHT.isdisjoint(_called(loss))


def _is_strong(text: str) -> bool:
    return text.strip().lower() != "none" and not _called(text) <= CONSTRAINTS | PARTS


def _called(text: str) -> frozenset[str]:
    """The names that are called in an expression; of one that cannot be read, a name that nothing has."""
    try:
        found = tree(text)
    except Unread:
        return frozenset({""})
    calls = (node.func for node in ast.walk(found) if isinstance(node, ast.Call))
    return frozenset(name.id for name in calls if isinstance(name, ast.Name)) or frozenset({""})

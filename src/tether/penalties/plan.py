"""Plan: which penalty, toward which reference, acts on which parameters, and how."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tether.errors import NoParameterSelected, PlanError
from tether.params.select import select
from tether.penalties.base import Penalty
from tether.penalties.pull import SOURCE, ZERO, Pull
from tether.penalties.schedule import CONSTANT
from tether.penalties.sums import Sum

Via = Literal["gradient", "prox"]
Metric = Literal["identity", "optimizer"]
Role = Literal["transferred", "new"]
Entry = Penalty | Pull | None


@dataclass(frozen=True)
class Plan:
    """A penalty for the transferred parameters, one for the new ones, and overrides by glob.

    A penalty pulls a transferred parameter toward its source value unless `.toward("zero")` says otherwise, and a new
    one toward zero, which is all it has. Of several overrides that match, the last wins. `via="gradient"` adds the
    penalty's gradient before the optimiser's step (coupled); `via="prox"` acts after it (decoupled). With
    `metric="optimizer"` the prox takes for every value the step that the optimiser took, lr/(√v̂ + ε) in Adam, and then
    has the objective's fixed point, as the gradient has.

    Raises:
        PlanError: an entry is not a penalty, `new` pulls to a source, a constraint is to act by gradient, or the
            optimiser's metric is wanted for what is not elementwise or not by prox.
        NoClosedForm: a sum that has no proximal map is to act by prox.

    >>> from tether.penalties.l2 import L2
    >>> print(Plan(transferred=L2(0.1), new=L2(0.01), overrides={"*.bias": None}))
    transferred → source: L2(0.1) · new → zero: L2(0.01) · *.bias: nothing · by prox

    """

    transferred: Entry = None
    new: Entry = None
    overrides: Mapping[str, Entry] = field(default_factory=dict)
    via: Via = "prox"
    name: str = ""
    metric: Metric = "identity"

    def __post_init__(self) -> None:
        for where, entry in self._entries():
            if not isinstance(entry, Penalty | Pull | None):
                raise PlanError(
                    f"`{where}={entry!r}` is not a penalty",
                    why="a plan holds penalties, pulls and None",
                    fix="L2(0.1), L1(1e-4), …, or None",
                )
        if isinstance(self.new, Pull) and self.new.reference == SOURCE:
            raise PlanError(
                "`new` cannot pull toward the source",
                why="a new parameter has no source value",
                fix='leave `.toward("source")` out: a new parameter is pulled toward zero',
            )
        self.refuse_unless_acts(self.via, self.metric)

    def refuse_unless_acts(self, via: Via, metric: Metric) -> None:
        """Raise where its penalties cannot act in that way.

        Raises:
            PlanError: there is no such way, or an entry cannot act so.
            NoClosedForm: a sum that has no proximal map is to act by prox.

        """
        if via not in ("gradient", "prox"):
            raise PlanError(
                f"`via={via!r}`: a plan acts by `gradient` or by `prox`",
                why="before the optimiser's step or after it",
                fix='via="prox"',
            )
        if metric not in ("identity", "optimizer"):
            raise PlanError(
                f"`metric={metric!r}`: the metric of a prox is `identity` or `optimizer`",
                why="every value takes the same step, or the optimiser's own",
                fix='metric="identity"',
            )
        if metric == "optimizer" and via == "gradient":
            raise PlanError(
                '`metric="optimizer"` is of the prox', why="a gradient is in the optimiser's metric", fix='via="prox"'
            )
        for where, entry in self._entries():
            penalty = entry.penalty if isinstance(entry, Pull) else entry
            if penalty is None:
                continue
            if via == "gradient" and not penalty.coupled:
                raise PlanError(
                    f"`{where}={penalty!r}` is a constraint and has no gradient",
                    why="only a projection after the step can keep it",
                    fix='via="prox"',
                )
            if metric == "optimizer" and not penalty.elementwise:
                raise PlanError(
                    f"`{where}={penalty!r}` has no closed form in the optimiser's metric",
                    why="there every value has a step of its own, and this penalty holds values together",
                    fix='metric="identity", or L2, L1 or Weighted',
                )
            if via == "prox" and isinstance(penalty, Sum):
                penalty.refuse_unless_closed()

    def scaled(self, factor: float) -> "Plan":
        """The same plan with every strength multiplied."""
        overrides = {glob: _scaled(entry, factor) for glob, entry in self.overrides.items()}
        return replace(
            self, transferred=_scaled(self.transferred, factor), new=_scaled(self.new, factor), overrides=overrides
        )

    def pulls(self, names: Mapping[str, Iterable[str]], roles: Mapping[str, set[Role]]) -> dict[tuple[str, Role], Pull]:
        """The pull on each parameter, by name and role; a partly new parameter has both roles.

        Args:
            names: all names of each parameter under the first, as `params.select.aliases` gives them.
            roles: the roles of each parameter.

        Raises:
            NoParameterSelected: a glob matches nothing, the plan holds nothing, or it pulls to a source and nothing was
                transferred.
            PlanError: an override pulls a wholly new parameter toward a source.

        """
        chosen: dict[str, str] = {}
        for glob in self.overrides:
            chosen |= dict.fromkeys(select(glob, names, argument="overrides"), glob)
        found = {}
        for name, its_roles in roles.items():
            for role in sorted(its_roles):
                pull = self._pull(name, role, chosen.get(name), its_roles)
                if pull is not None and not pull.penalty.null:
                    found[name, role] = pull
        self._refuse_idle(found, roles)
        return found

    def _pull(self, name: str, role: Role, glob: str | None, roles: set[Role]) -> Pull | None:
        entry = self.overrides[glob] if glob is not None else getattr(self, role)
        if entry is None:
            return None
        if not isinstance(entry, Pull):
            return entry.toward(SOURCE if role == "transferred" else ZERO)
        if role == "new" and entry.reference == SOURCE:
            if roles == {"new"}:
                raise PlanError(
                    f"`overrides={glob!r}` pulls the new parameter `{name}` toward a source it does not have",
                    why="a new parameter has zero and nothing else",
                    fix='leave `.toward("source")` out, or let the glob match transferred parameters alone',
                )
            return replace(entry, reference=ZERO)
        return entry

    def _refuse_idle(self, found: Mapping[tuple[str, Role], Pull], roles: Mapping[str, set[Role]]) -> None:
        entries = [entry for _, entry in self._entries() if entry is not None]
        strong = [entry for entry in entries if not (entry.penalty if isinstance(entry, Pull) else entry).null]
        toward_source = self.transferred is not None and not (
            isinstance(self.transferred, Pull) and self.transferred.reference != SOURCE
        )
        if toward_source and not any("transferred" in its for its in roles.values()):
            raise NoParameterSelected(
                f"`transferred={self.transferred!r}` pulls toward a source, and no parameter was transferred",
                why="there is no source value to be held to",
                fix="give a source, or a plan toward zero",
            )
        if strong and not found:
            raise NoParameterSelected(
                f"this plan holds no parameter of the model: {self}",
                why="it has strengths, and none of them acts on anything",
                fix="the plan `none` for plain fine-tuning, or a penalty of `new` where nothing was transferred",
            )

    def _entries(self) -> list[tuple[str, Entry]]:
        overrides = [(f"overrides[{glob!r}]", entry) for glob, entry in self.overrides.items()]
        return [("transferred", self.transferred), ("new", self.new), *overrides]

    @property
    def says(self) -> str:
        """What holds what, in words."""
        parts = [_said("transferred", self.transferred, SOURCE), _said("new", self.new, ZERO)]
        parts += [f"{glob}: {entry if entry is not None else 'nothing'}" for glob, entry in self.overrides.items()]
        return " · ".join([*([self.name] if self.name else []), *parts])

    def __str__(self) -> str:
        metric = " in the optimiser's metric" if self.metric == "optimizer" else ""
        return f"{self.says} · by {self.via}{metric}"


def _scaled(entry: Entry, factor: float) -> Entry:
    return None if entry is None else entry.scaled(factor)


def _said(role: str, entry: Entry, reference: str) -> str:
    if entry is None:
        return f"{role}: free"
    pull = entry if isinstance(entry, Pull) else Pull(entry, reference)
    later = "" if pull.schedule == CONSTANT else f" × {pull.schedule}"
    return f"{role} → {pull.target}: {pull.penalty}{later}"

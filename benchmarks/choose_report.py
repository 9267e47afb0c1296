"""The tables of `choose.py`: means, and differences to plain fine-tuning that are paired by seed."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from scipy.stats import t

REPORT = Path(__file__).parent / "reports" / "choose.md"
BASE = "none"
PAIR = ("ewc(0.1)", "l2_sp(0.1)")
Cell = tuple[str, str, int]


@dataclass(frozen=True)
class Measured:
    """One fine-tuned model."""

    seed: int
    target: str
    size: int
    optimizer: str
    plan: str
    accuracy: float
    kept: float
    moved: float
    """‖w − w⁰‖ of the transferred parameters."""
    idle: float
    """The share of ‖w − w⁰‖² in values that do not move at all without a penalty."""


@dataclass(frozen=True)
class Spread:
    """A figure over seeds."""

    values: Sequence[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return statistics.stdev(self.values) / len(self.values) ** 0.5 if len(self.values) > 1 else float("nan")

    @property
    def half(self) -> float:
        """Half the width of Student's 95 % interval of the mean."""
        return float(t.ppf(0.975, len(self.values) - 1)) * self.error if len(self.values) > 1 else float("nan")

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return abs(self.mean) > self.half


@dataclass(frozen=True)
class Results:
    """All fine-tuned models of a run; a cell is an optimiser, a target and a number of pictures."""

    found: Sequence[Measured]

    @property
    def cells(self) -> list[Cell]:
        wanted = ([getattr(one, key) for one in self.found] for key in ("optimizer", "target", "size"))
        return list(product(*(dict.fromkeys(values) for values in wanted)))

    def plans(self) -> list[str]:
        return list(dict.fromkeys(one.plan for one in self.found))

    def of(self, cell: Cell, plan: str) -> list[Measured]:
        here = [one for one in self.found if (one.optimizer, one.target, one.size) == cell and one.plan == plan]
        return sorted(here, key=lambda one: one.seed)

    def spread(self, cell: Cell, plan: str, figure: Callable[[Measured, Measured], float]) -> Spread:
        """A figure of each model and of its seed's model without a penalty."""
        return Spread([figure(*pair) for pair in zip(self.of(cell, plan), self.of(cell, BASE), strict=True)])


def gained(ours: Measured, base: Measured) -> float:
    return 100 * (ours.accuracy - base.accuracy)


def saved(ours: Measured, base: Measured) -> float:
    return 100 * (ours.kept - base.kept)


def relative(ours: Measured, base: Measured) -> float:
    return ours.moved / base.moved


def table(results: Results, cell: Cell) -> list[str]:
    lines = ["| plan | target, % | against none | kept, % | against none | distance from the source, none = 1 |"]
    lines.append("|---|---|---|---|---|---|")
    for plan in results.plans():
        accuracy = results.spread(cell, plan, lambda ours, base: 100 * ours.accuracy)
        kept = results.spread(cell, plan, lambda ours, base: 100 * ours.kept)
        row = [f"{accuracy.mean:.1f} ± {accuracy.error:.1f}", _difference(results.spread(cell, plan, gained))]
        row += [f"{kept.mean:.1f} ± {kept.error:.1f}", _difference(results.spread(cell, plan, saved))]
        far = results.spread(cell, plan, relative)
        lines.append(f"| {' | '.join([f'`{plan}`', *row, f'{far.mean:.2f} ± {far.error:.2f}'])} |")
    return lines


def _difference(spread: Spread) -> str:
    """The mean and its interval, in bold where that leaves zero out."""
    if not any(spread.values):
        return "0"
    text = f"{spread.mean:+.1f} ± {spread.half:.1f}"
    return f"**{text}**" if spread.clear else text


def clear_of(results: Results, figure: Callable[[Measured, Measured], float]) -> list[str]:
    """In every setting, the plans whose interval lies above zero, and those whose lies below."""
    lines = [
        "| optimiser | pictures | target | above none | below none | not told apart |",
        "|---|---|---|---|---|---|",
    ]
    for cell in results.cells:
        parts: dict[str, list[str]] = {"above": [], "below": [], "same": []}
        for plan in results.plans():
            spread = results.spread(cell, plan, figure)
            if plan != BASE:
                side = ("above" if spread.mean > 0 else "below") if spread.clear else "same"
                parts[side].append(f"`{plan}` {spread.mean:+.1f}")
        same = str(len(parts["same"]))
        lines.append(f"| {' | '.join([*map(str, cell), _listed(parts['above']), _listed(parts['below']), same])} |")
    return lines


def _listed(entries: Sequence[str]) -> str:
    return ", ".join(entries) or "–"


def drift(results: Results) -> list[str]:
    """How far the plans toward zero go, and how much of it is in values that the loss alone leaves where they are."""
    lines = ["| optimiser | plan | distance, none = 1, lowest to highest | share in idle values, lowest to highest |"]
    lines.append("|---|---|---|---|")
    for optimizer in dict.fromkeys(cell[0] for cell in results.cells):
        cells = [cell for cell in results.cells if cell[0] == optimizer]
        for plan in (name for name in results.plans() if name.startswith(("l2(", "differential"))):
            far = [results.spread(cell, plan, relative).mean for cell in cells]
            idle = [results.spread(cell, plan, lambda ours, base: ours.idle).mean for cell in cells]
            row = f"{min(far):.2f} to {max(far):.2f} | {100 * min(idle):.0f} % to {100 * max(idle):.0f} %"
            lines.append(f"| {optimizer} | `{plan}` | {row} |")
    return lines


def over_all(results: Results) -> list[str]:
    """The mean over targets and numbers of pictures of the differences to none, its interval over seeds."""
    lines = ["| optimiser | plan | target, against none | kept, against none |", "|---|---|---|---|"]
    for optimizer in dict.fromkeys(cell[0] for cell in results.cells):
        cells = [cell for cell in results.cells if cell[0] == optimizer]
        for plan in (name for name in results.plans() if name != BASE):
            both = [[results.spread(cell, plan, figure).values for cell in cells] for figure in (gained, saved)]
            means = [Spread([statistics.fmean(seed) for seed in zip(*parts, strict=True)]) for parts in both]
            lines.append(f"| {optimizer} | `{plan}` | {' | '.join(_difference(mean) for mean in means)} |")
    return lines


def between(results: Results, plan: str, other: str) -> list[str]:
    """One plan against another, in every setting."""
    lines = [f"| optimiser | target | pictures | target, `{plan}` − `{other}` | kept |", "|---|---|---|---|---|"]
    for cell in results.cells:
        pairs = list(zip(results.of(cell, plan), results.of(cell, other), strict=True))
        both = [Spread([figure(*pair) for pair in pairs]) for figure in (gained, saved)]
        lines.append(f"| {' | '.join(map(str, cell))} | {' | '.join(_difference(one) for one in both)} |")
    return lines


def optimizers(results: Results) -> list[str]:
    """The second optimiser against the first, without a penalty."""
    first, second = dict.fromkeys(cell[0] for cell in results.cells)
    lines = [f"| target | pictures | target, {second} − {first} | kept |", "|---|---|---|---|"]
    for _, target, size in (cell for cell in results.cells if cell[0] == first):
        found = [results.of((optimizer, target, size), BASE) for optimizer in (second, first)]
        both = [Spread([figure(*pair) for pair in zip(*found, strict=True)]) for figure in (gained, saved)]
        lines.append(f"| {target} | {size} | {' | '.join(_difference(one) for one in both)} |")
    return lines


def report(found: Sequence[Measured], about: str) -> None:
    """Write the report, and show what it found beyond the noise."""
    results = Results(found)
    targets, kept = clear_of(results, gained), clear_of(results, saved)
    count = (len(results.plans()) - 1) * len(results.cells)
    note = (
        f"± beside a mean is its standard error; beside a difference, half of Student's 95 % interval over the seeds, "
        f"in bold where it leaves zero out. Of {count} differences to none in target accuracy, about {count / 20:.0f} "
        f"would be in bold by chance if no plan did anything: one bold figure alone is no finding. A value is idle "
        f"that does not move at all without a penalty: its gradient is zero, or rounds away, in every step."
    )
    parts = ["# Which penalty, and when none", about, note]
    parts += ["## Target accuracy, beyond the noise", "\n".join(targets)]
    parts += ["## Kept of the source, beyond the noise", "\n".join(kept)]
    parts += ["## The mean of the six settings of each optimiser", "\n".join(over_all(results))]
    parts += ["## EWC against L2-SP, a pair chosen after seeing the tables", "\n".join(between(results, *PAIR))]
    parts += ["## The optimiser, without a penalty", "\n".join(optimizers(results))]
    parts += ["## Toward zero: how far from the source, and where", "\n".join(drift(results))]
    for cell in results.cells:
        parts += [f"## {cell[0]}, {cell[1]}, {cell[2]} pictures", "\n".join(table(results, cell))]
    REPORT.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print("\n".join([*targets, "", *kept]))

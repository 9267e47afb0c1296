"""Demo: what came out, as a table, a sentence and a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from tether.study.intervals import on_test_set
from tether.summary import table

METHODS = ("scratch", "linear probe", "plain", "differential_l2", "l2_sp")


@dataclass(frozen=True)
class Outcome:
    """One reported run.

    Args:
        target: accuracy on the target's test digits.
        kept: accuracy on the source's digits of the source's head on the fine-tuned body; None from scratch.
        moved: ‖w − w⁰‖ of the transferred parameters; None from scratch.
    """

    method: str
    seed: int
    target: float
    kept: float | None
    moved: float | None


@dataclass(frozen=True)
class Demo:
    """Every reported run, the rate of each method, and the source's own accuracy."""

    outcomes: tuple[Outcome, ...]
    rates: Mapping[str, float]
    source: float
    title: str
    folder: Path

    def column(self, method: str, field: str) -> Float64[np.ndarray, " seeds"]:
        """One figure of a method for every seed, in the same order for all methods."""
        found = sorted((o for o in self.outcomes if o.method == method), key=lambda outcome: outcome.seed)
        return np.array([getattr(outcome, field) for outcome in found], dtype=np.float64)

    def __str__(self) -> str:
        rows = [["method", "peak rate", "target accuracy", "kept of the source", "distance moved"]]
        for method in METHODS:
            target, kept, moved = (self.column(method, field) for field in ("target", "kept", "moved"))
            rate = f"{self.rates[method]:g}" if method in self.rates else "–"
            rows.append([method, rate, mean_and_error(target), mean_and_error(kept), mean_and_error(moved, 2)])
        seeds = len(self.column("plain", "target"))
        told = f"mean ± standard error of {seeds} seeds; the source itself is right on {self.source:.3f} of its digits"
        return "\n".join([f"{self.title}; {told}", "", *table(rows), "", self.sentence()])

    def sentence(self) -> str:
        """What the numbers say and no more: paired differences in points, with 95 % t intervals over the seeds."""
        gain = difference(self.column("plain", "target"), self.column("scratch", "target"))
        said = [f"Fine-tuning differs from scratch by {gain}"]
        for method in ("differential_l2", "l2_sp"):
            target, kept = (difference(self.column(method, f), self.column("plain", f)) for f in ("target", "kept"))
            said.append(f"{method} from plain by {target} on the target and {kept} on what is kept")
        seeds = len(self.column("plain", "target"))
        told = "; ".join(part.removesuffix(",") for part in said)
        return f"{told} (points; 95 % intervals over {seeds} seeds, on these test digits)."


def mean_and_error(values: Float64[np.ndarray, " seeds"], digits: int = 3) -> str:
    """Mean ± standard error, or a dash where nothing was measured.

    >>> mean_and_error(np.array([0.8, 0.9]))
    '0.850 ± 0.050'
    """
    if not len(values) or np.isnan(values).any():
        return "–"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"


def difference(ours: Float64[np.ndarray, " seeds"], theirs: Float64[np.ndarray, " seeds"]) -> str:
    """Mean paired difference in points with its interval, and whether it can be told from zero.

    >>> difference(np.array([0.9, 0.91, 0.92]), np.array([0.8, 0.82, 0.81]))
    '+10.0 [+7.5, +12.5]'
    >>> difference(np.array([0.9, 0.8]), np.array([0.8, 0.9]))
    'no more than chance, +0.0 [-127.1, +127.1],'
    """
    found = on_test_set(ours, theirs)
    middle, low, high = (f"{100 * value:+z.1f}" for value in (found.estimate, found.low, found.high))
    said = f"{middle} [{low}, {high}]"
    return said if found.beyond_noise else f"no more than chance, {said},"


def draw(demo: Demo, path: Path) -> None:
    """Every run as a point, target accuracy against what is kept, with the mean of each method."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    methods = [method for method in METHODS if not np.isnan(demo.column(method, "kept")).any()]
    for number, method in enumerate(methods):
        target, kept = demo.column(method, "target"), demo.column(method, "kept")
        colour, marker = f"C{number}", "osD^"[number % 4]
        axes.scatter(kept, target, color=colour, marker=marker, s=28, alpha=0.45)
        axes.scatter(kept.mean(), target.mean(), color=colour, marker=marker, s=130, edgecolor="black", label=method)
    scratch = demo.column("scratch", "target").mean()
    axes.axhline(scratch, color="0.4", linestyle="--", linewidth=1, label=f"scratch, {scratch:.3f}")
    axes.axvline(demo.source, color="0.7", linewidth=1, label=f"the source itself, {demo.source:.3f}")
    axes.set_xlabel("kept of the source: accuracy on MNIST")
    axes.set_ylabel("target accuracy: scikit-learn's digits")
    axes.set_title(
        f"{demo.title}\nsmall: one seed; large: the mean of {len(demo.column('plain', 'target'))}", fontsize=10
    )
    axes.legend(fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)

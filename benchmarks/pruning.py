"""What a search loses by giving trials up early, and what it saves: `python benchmarks/pruning.py`.

Writes benchmarks/reports/pruning.md. A trial is three paired seeds; its accuracy is a hill over the logarithm of one
setting, with an effect of the seed, one of seed and setting together, and the noise of 100 validation pictures.
"""

import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner, WilcoxonPruner

from tether.study.journal import sampler

REPORT = Path(__file__).parent / "reports" / "pruning.md"
SEARCHES, TRIALS, SEEDS, PICTURES = 300, 20, 3, 100
LOW, HIGH, TOP = 0.01, 100.0, 0.85
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    "median, after five trials": lambda: MedianPruner(n_startup_trials=5),
    "lowest quarter, after five trials": lambda: PercentilePruner(75, n_startup_trials=5),
    "Wilcoxon, p < 0.1": lambda: WilcoxonPruner(p_threshold=0.1),
    "Wilcoxon, p < 0.3": lambda: WilcoxonPruner(p_threshold=0.3),
}


def main() -> None:
    """Simulate, and write the table."""
    rows = ["| pruner | hill of | short of the best, in points | runs of 60 |", "|---|---|---|---|"]
    with ProcessPoolExecutor(1 if len(sys.argv) < 2 else int(sys.argv[1])) as pool:
        for height in (0.2, 0.05):
            for name in PRUNERS:
                found = np.array([*pool.map(partial(searched, name, height), range(SEARCHES), chunksize=10)])
                short, runs = 100 * found[:, 0], found[:, 1]
                spread = short.std() / SEARCHES**0.5
                rows.append(
                    f"| {name} | {100 * height:.0f} points | {short.mean():.2f} ± {spread:.2f} | {runs.mean():.1f} |"
                )
                print(rows[-1], flush=True)
    told = f"{__doc__}\n{SEARCHES} searches a row of {TRIALS} trials each; ± is one standard error."
    versions = f"optuna {optuna.__version__}, numpy {np.__version__}"
    REPORT.write_text("\n".join(["# Pruning", "", *told.splitlines(), "", *rows, "", versions, ""]), encoding="utf-8")


def searched(name: str, height: float, number: int) -> tuple[float, int]:
    """How far what one search finds falls short of the best, and how many runs it takes."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng(number)
    peak, width, seeds = rng.uniform(-2, 2), rng.uniform(0.4, 1.2), rng.normal(0, 0.03, SEEDS)

    def truth(value: float) -> float:
        return float(TOP - height * (1 - np.exp(-(((np.log10(value) - peak) / width) ** 2) / 2)))

    study = optuna.create_study(direction="maximize", sampler=sampler(number), pruner=PRUNERS[name]())
    study.enqueue_trial({"value": 1.0})
    drawn = {"value": optuna.distributions.FloatDistribution(LOW, HIGH, log=True)}
    runs, best, chosen = 0, -1.0, 1.0
    for _ in range(TRIALS):
        trial = study.ask(drawn)
        value, marks = trial.params["value"], list[float]()
        while len(marks) < SEEDS:
            right = np.clip(truth(value) + seeds[len(marks)] + rng.normal(0, 0.02), 0, 1)
            marks.append(rng.binomial(PICTURES, right) / PICTURES)
            trial.report(marks[-1] if name.startswith("Wilcoxon") else float(np.mean(marks)), len(marks) - 1)
            if trial.number and len(marks) < SEEDS and trial.should_prune():
                break
        runs += len(marks)
        if len(marks) < SEEDS:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        study.tell(trial, float(np.mean(marks)))
        if np.mean(marks) > best:
            best, chosen = float(np.mean(marks)), value
    return TOP - truth(chosen), runs


if __name__ == "__main__":
    main()

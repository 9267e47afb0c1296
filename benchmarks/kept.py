"""What L2 toward zero and L2 toward the source keep of the source, over strengths: MNIST → scikit-learn's digits.

`python benchmarks/kept.py` writes benchmarks/reports/kept.md. The setting is the demo's: 2 digits a class, a new head,
150 steps of SGD with momentum at the rate below, the reported half of the digits for test; by gradient. The head starts
at random, as in the article, or at zero, as `fit` has it.
"""

import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tether.demo.run import write_halves
from tether.spec import RunSpec

STRENGTHS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SEEDS = range(10)
RATE = 0.003


def measure(job: tuple[str, str, str, float, int]) -> tuple[float, float]:
    import torch

    from tether.engine.build import build
    from tether.engine.evaluate import score
    from tether.engine.loop import train
    from tether.engine.optimise import make_optimizer
    from tether.engine.retention import Retention
    from tether.engine.training import Training

    torch.set_num_threads(1)
    folder, head, reference, strength, seed = job
    pull = f'L2({strength}).toward("zero")' if reference == "zero" else f"L2({strength})"
    spec = RunSpec.from_flags(
        {
            "model.name": "digits-cnn",
            "source.path": "mnist",
            "source.exclude": ["head.*"],
            "source.head": head,
            "source.data": "mnist",
            "data.path": folder,
            "data.per_class": 2,
            "data.augment": "none",
            "plan.transferred": pull,
            "plan.new": "none",
            "plan.via": "gradient",
            "optimizer.name": "sgd",
            "optimizer.lr": RATE,
            "train.epochs": 150,
            "train.batch_size": 20,
            "seed": seed,
            "threads": 1,
            "device": "cpu",
        }
    )
    built = build(spec)
    retention = Retention(built)
    train(Training(built, make_optimizer(built.spec.optimizer, built.model)), lambda row: None, quiet=True)
    return score(built.model, built.task.still("test")).accuracy, retention.measure(built.model)["kept"]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        write_halves(Path(scratch))
        cells = list(product(("random", "zero"), ("zero", "source"), STRENGTHS))
        jobs = [(f"{scratch}/digits/reported", *cell, seed) for cell in cells for seed in SEEDS]
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            found = np.array(list(pool.map(measure, jobs))).reshape(len(cells), len(SEEDS), 2)
    lines = ["| head starts | reference | strength | target accuracy | kept of the source | kept, against strength 0 |"]
    lines.append("|---|---|---|---|---|---|")
    for (head, reference, strength), figures in zip(cells, found, strict=True):
        base = found[cells.index((head, reference, 0.0)), :, 1]
        target, kept, change = (_mean(values) for values in (figures[:, 0], figures[:, 1], figures[:, 1] - base))
        row = (head, reference, f"{strength:g}", target, kept, change if strength else "–")
        lines.append(f"| {' | '.join(row)} |")
    text = "\n".join(lines)
    print(text)
    report = Path(__file__).parent / "reports" / "kept.md"
    report.write_text(f"# {__doc__.splitlines()[0]}\n\n{_conditions()}\n\n{text}\n", encoding="utf-8")


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def _conditions() -> str:
    import torch

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return (
        f"Conditions: `digits-cnn`, source `mnist`, 2 digits a class, a new head, SGD with momentum 0.9, "
        f"peak rate {RATE}, 150 steps, by gradient, the new head free; mean ± standard error of {len(SEEDS)} seeds. "
        f"torch {torch.__version__}, Python {sys.version.split()[0]}, {platform.machine()}, 1 thread a process, "
        f"commit {commit.stdout.strip() or 'none'}."
    )


if __name__ == "__main__":
    main()

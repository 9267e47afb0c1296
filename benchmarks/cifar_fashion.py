"""A CIFAR-10 ResNet-20 to Fashion-MNIST, and what it keeps of CIFAR-10: `python benchmarks/cifar_fashion.py`.

10 pictures a class for training and 100 a class for test; what is kept is measured on CIFAR's test JPEGs. TETHER_DATA
names the folder of data; Fashion-MNIST is Debian's `dataset-fashion-mnist`.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion import write_pictures

from tether import RunSpec, fit

SEEDS = range(3)
PLANS: dict[str, dict[str, Any]] = {
    "plain": {"plan.preset": "none"},
    **{f"l2_sp(alpha={a:g})": {"plan.preset": "l2_sp", "plan.args": {"alpha": a}} for a in (0.1, 1.0, 10.0)},
}
DATA = Path(os.environ.get("TETHER_DATA", Path(__file__).parents[2] / "shared" / "data"))
REPORT = Path(__file__).parent / "reports" / "cifar_fashion.md"
TRAIN, TEST = 10, 100


def spec(root: Path, plan: dict[str, Any], batchnorm: str, seed: int) -> RunSpec:
    settings = {
        "model.name": "cifar-resnet20",
        "source.path": str(DATA / "cifar10_resnet20" / "resnet20.th"),
        "source.classes": str(root / "cifar.txt"),
        "source.data": str(DATA / "cifar10" / "test"),
        "data.path": str(root),
        "data.validation": 0.0,
        "preprocessing.mean": (0.485, 0.456, 0.406),
        "preprocessing.std": (0.229, 0.224, 0.225),
        "optimizer.lr": 1e-3,
        "train.epochs": 18,
        "batchnorm": batchnorm,
        "seed": seed,
        "threads": 1,
        "device": "cpu",
    }
    return RunSpec.from_flags(settings | plan)


def measure(plan: dict[str, Any], batchnorm: str, scratch: Path) -> tuple[list[Mapping[str, Any]], float]:
    """The outcome of every seed, and the CPU seconds of one."""
    start, outcomes = time.process_time(), []
    for seed in SEEDS:
        root = scratch / f"pictures-{seed}"
        if not root.exists():
            write_pictures(root, train=TRAIN, test=TEST, seed=seed)
        out = scratch / f"run-{len(list(scratch.glob('run-*')))}"
        outcomes.append(fit(spec(root, plan, batchnorm, seed), out, quiet=True).outcome)
    return outcomes, (time.process_time() - start) / len(SEEDS)


def main() -> None:
    import torch
    from step import commit, processor

    lines = [
        "| plan | BatchNorm | target accuracy | kept | kept, with the source's statistics | CPU seconds a run |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for batchnorm in ("source", "update"):
            for name, plan in PLANS.items():
                outcomes, seconds = measure(plan, batchnorm, Path(scratch))
                kept = [outcome["retention"] for outcome in outcomes]
                target = _each([outcome["test"]["accuracy"] for outcome in outcomes])
                still = _each([found["kept"] for found in kept])
                restored = _each([found["kept_with_source_statistics"] for found in kept])
                lines.append(f"| {name} | {batchnorm} | {target} | {still} | {restored} | {seconds:.0f} |")
    source = kept[0]["source"]
    about = (
        f"ResNet-20 trained on CIFAR-10 (itself {source:.3f} on {kept[0]['count']:,} test JPEGs) to Fashion-MNIST, "
        f"{TRAIN} pictures a class for training and {TEST} for test, a new head, 90 steps of 20 with AdamW at 1e-3, "
        f"by gradient; mean (seed by seed) of seeds {', '.join(map(str, SEEDS))}, each with its own pictures. "
        f"One thread on {processor()}; torch {torch.__version__}; commit {commit()}; "
        "written by `python benchmarks/cifar_fashion.py`."
    )
    report = "\n".join(["# What a CIFAR-10 model keeps when it learns Fashion-MNIST", "", about, "", *lines, ""])
    REPORT.write_text(report)
    print(report)


def _each(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


if __name__ == "__main__":
    main()

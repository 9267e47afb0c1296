"""ImageNet EfficientNet-Lite0 to the amazon photos of Office-Caltech: `python benchmarks/photos.py`.

8 photos a class for training, the others for test, at 96 pixels on one thread; for 5 seeds the default plan and plain
fine-tuning, and beside them the linear probe. TETHER_DATA names the folder of data.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from tether import RunSpec, fit

SEEDS = range(5)
PLANS = {"the default, `l2_sp`": None, "plain": "none"}
DATA = Path(os.environ.get("TETHER_DATA", Path(__file__).parents[2] / "shared" / "data"))
REPORT = Path(__file__).parent / "reports" / "photos.md"


def spec(plan: str | None, seed: int, *, probe: bool = False) -> RunSpec:
    settings = {
        "model.name": "timm:tf_efficientnet_lite0",
        "source.path": "efficientnet-lite0",
        "data.path": str(DATA / "office_caltech10" / "images" / "amazon"),
        "data.per_class": 8,
        "preprocessing.size": 96,
        "probe": probe,
        "seed": seed,
        "threads": 1,
        "device": "cpu",
    }
    return RunSpec.from_flags(settings if plan is None else settings | {"plan.preset": plan})


def timed(wanted: RunSpec, out: Path) -> tuple[float, float, float | None]:
    """Test accuracy, CPU seconds from reading to the last file, and the probe's accuracy if it was asked for."""
    start = time.process_time()
    outcome = fit(wanted, out, quiet=True).outcome
    probe = outcome["probe"]["accuracy"] if outcome["probe"] else None
    return outcome["test"]["accuracy"], time.process_time() - start, probe


def row(name: str, accuracies: list[float], seconds: list[float]) -> str:
    each = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    cpu = f"{statistics.median(seconds):.0f}" if seconds else "–"
    return f"| {name} | {statistics.median(accuracies):.3f} | {each} | {cpu} |"


def main() -> None:
    import torch
    from step import commit, processor

    lines = ["| method | test accuracy, median | seed by seed | CPU seconds a run, median |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        timed(spec(None, 0).replace({"train.epochs": 1}), Path(scratch) / "warm")  # imports are no part of a run
        for name, plan in PLANS.items():
            found = [timed(spec(plan, seed), Path(scratch) / f"{plan}-{seed}") for seed in SEEDS]
            lines.append(row(name, [accuracy for accuracy, _, _ in found], [seconds for _, seconds, _ in found]))
        short = [spec(None, seed, probe=True).replace({"train.epochs": 1}) for seed in SEEDS]
        probes = [timed(wanted, Path(scratch) / f"probe-{seed}")[2] for seed, wanted in zip(SEEDS, short, strict=True)]
        lines.append(row("linear probe on the source's features", [p for p in probes if p is not None], []))
        test = fit(spec(None, 0).replace({"train.epochs": 1}), Path(scratch) / "count").outcome["test"]["count"]
    about = (
        f"EfficientNet-Lite0 (ImageNet) to Office-Caltech's amazon, 10 classes, 8 photos a class for training and the "
        f"other {test} for test, 96 pixels, 15 epochs of batches of 20, AdamW at 3e-4, BatchNorm as in the source, no "
        f"validation; seeds {', '.join(map(str, SEEDS))}, each with its own split. One thread on {processor()}; torch "
        f"{torch.__version__}; commit {commit()}; written by `python benchmarks/photos.py`."
    )
    report = "\n".join(["# Photos: EfficientNet-Lite0 to Office-Caltech", "", about, "", *lines, ""])
    REPORT.write_text(report)
    print(report)


if __name__ == "__main__":
    main()

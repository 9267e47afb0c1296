"""What 49 points of a ridge cost beside 49 heads trained by SGD, and how exact they are: `python benchmarks/ridge.py`.

2,000 items of 512 features whose variances fall as 1/k, 10 classes, one-hot outputs. The contenders take turns in one
process on one thread, and each repeat compares them in CPU time.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from step import commit, processor
from torch import nn

from tether.strength.ridge import Ridge, grid

ITEMS, FEATURES, CLASSES, STRENGTHS = 2000, 512, 10, 49
BATCH, EPOCHS, MOMENTUM = 100, 20, 0.9
REPEATS = 5
REPORT = Path(__file__).parent / "reports" / "ridge.md"
Head = tuple[np.ndarray, np.ndarray]


def drawn(seed: int = 0) -> Head:
    """Features and one-hot outputs of classes that lie apart by about their own spread."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, ITEMS)
    scales = np.arange(1, FEATURES + 1) ** -0.5
    centres = 0.5 * rng.normal(size=(CLASSES, FEATURES))
    return (centres[labels] + rng.normal(size=(ITEMS, FEATURES))) * scales, np.eye(CLASSES)[labels]


def of_path(x: np.ndarray, y: np.ndarray, strengths: np.ndarray) -> list[Head]:
    path = Ridge.of(x, y)
    return [path.weights(strength) for strength in strengths]


def directly(x: np.ndarray, y: np.ndarray, strengths: np.ndarray) -> list[Head]:
    found = []
    for strength in strengths:
        centred = x - x.mean(0)
        left = centred.T @ centred / ITEMS + strength * np.eye(FEATURES)
        weight = np.linalg.solve(left, centred.T @ (y - y.mean(0)) / ITEMS).T
        found.append((weight, y.mean(0) - weight @ x.mean(0)))
    return found


def by_sgd(x: np.ndarray, y: np.ndarray, strengths: np.ndarray, epochs: int = EPOCHS) -> list[Head]:
    """From zero, by momentum with a cosine, at the best of four rates tried: 1 over the greatest curvature."""
    features, outputs = torch.from_numpy(x - x.mean(0)).float(), torch.from_numpy(y).float()
    steepest = float(torch.linalg.eigvalsh(features.T @ features / ITEMS)[-1])
    order = [torch.from_numpy(np.random.default_rng(epoch).permutation(ITEMS)) for epoch in range(epochs)]
    found = []
    for strength in strengths:
        head = nn.Linear(FEATURES, CLASSES)
        nn.init.zeros_(head.weight)
        head.bias.data = outputs.mean(0)
        rate = 1 / (steepest + float(strength))
        groups = [{"params": [head.weight], "weight_decay": float(strength)}, {"params": [head.bias]}]
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for permuted in order:
            for chosen in permuted.split(BATCH):
                optimizer.zero_grad()
                error = head(features[chosen]) - outputs[chosen]
                (error.square().sum() / (2 * len(chosen))).backward()
                optimizer.step()
            schedule.step()
        weight = head.weight.detach().double().numpy()
        found.append((weight, head.bias.detach().double().numpy() - weight @ x.mean(0)))
    return found


def objective(head: Head, x: np.ndarray, y: np.ndarray, strength: float) -> float:
    weight, bias = head
    return float(((y - x @ weight.T - bias) ** 2).sum() / (2 * ITEMS) + strength / 2 * (weight**2).sum())


def cpu_seconds(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return time.process_time() - start


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:,.0f} ({low:,.0f}–{high:,.0f})"


def main() -> None:
    import scipy

    torch.set_num_threads(1)
    x, y = drawn()
    strengths = grid(Ridge.of(x, y), STRENGTHS)
    exact, path, trained = (make(x, y, strengths) for make in (directly, of_path, by_sgd))
    off = max(
        np.abs(ours[0] - theirs[0]).max() / np.abs(theirs[0]).max() for ours, theirs in zip(path, exact, strict=True)
    )
    excess = [
        objective(one, x, y, strength) / objective(best, x, y, strength) - 1
        for one, best, strength in zip(trained, exact, strengths, strict=True)
    ]
    contenders = {"path": of_path, "49 direct solves": directly, "49 heads by SGD": by_sgd}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, make in contenders.items():
            taken[name].append(cpu_seconds(lambda make=make: make(x, y, strengths)))
    lines = ["| heads | ms, median | times the path, median (quartiles) of pairs |", "|---|---|---|"]
    for name, seconds in taken.items():
        ratios = [one / path for one, path in zip(seconds, taken["path"], strict=True)]
        lines.append(f"| {name} | {1000 * statistics.median(seconds):,.0f} | {quartiles(ratios)} |")
    about = (
        f"{ITEMS:,} items, {FEATURES} features of variances falling as 1/k, {CLASSES} classes, {STRENGTHS} strengths "
        f"from 1e-6 to 1e3 times the mean variance. The path is the decomposition and all {STRENGTHS} weights and "
        f"biases. SGD takes {EPOCHS} epochs of batches of {BATCH}, with momentum {MOMENTUM}, a cosine, and a rate for "
        f"each strength. {REPEATS} repeats, interleaved, one thread, CPU time. {processor()}; torch "
        f"{torch.__version__}, NumPy {np.__version__}, SciPy {scipy.__version__}; commit {commit()}; written by "
        "`python benchmarks/ridge.py`."
    )
    found = (
        f"The path's weights differ from a direct solve in float64 by at most {off:.1e} of the largest weight, over "
        f"all strengths. SGD's objective ends {100 * statistics.median(excess):.2g} % above the optimum in the median "
        f"over strengths, and {100 * max(excess):.2g} % at most."
    )
    report = "\n".join(["# A ridge at 49 strengths", "", about, "", *lines, "", found, ""])
    REPORT.write_text(report)
    print(report)


if __name__ == "__main__":
    main()

"""What each term costs a step, and what each keeps of the source: `python benchmarks/terms.py`.

Writes benchmarks/reports/terms.md. Cost: one step of SGD on `cifar-resnet20`, every contender on a copy of the same
network in one process on one thread; each repeat compares it with the plain step of the same repeat, in CPU time.
What is kept: MNIST → scikit-learn's digits, in the setting of benchmarks/kept.py, by a loop of its own.
"""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tether.demo.run import write_halves
from tether.models.cifar_resnet import CifarResNet20
from tether.spec import RunSpec
from tether.terms.attention import attention, increases
from tether.terms.objective import Objective
from tether.terms.taps import Tap, forward
from tether.terms.teacher import frozen
from tether.terms.text import parse

REPEATS, BATCH = 25, 32
PLAIN = "cross entropy, written out"
COSTED = (
    "Classify()",
    "Classify() + 0.001 * BSS()",
    "Classify() + 0.25 * LogitDistill()",
    'Classify() + FeatureDistill(layers=["layer3"])',
    'Classify() + 0.01 * Delta(layers=["layer3"])',
    'Classify() + 0.01 * Delta(layers=["layer1", "layer2", "layer3"])',
    'Classify() + 0.25 * LogitDistill() + 0.01 * Delta(layers=["layer3"]) + 0.001 * BSS()',
)
SEEDS, RATE = range(5), 0.003
KEPT = (
    ("none", "Classify()"),
    ("L2(0.1)", "Classify()"),
    ("L2(1.0)", "Classify()"),
    ("none", "Classify() + 0.25 * LogitDistill()"),
    ("none", "Classify() + LogitDistill()"),
    ("none", "Classify() + 4 * LogitDistill()"),
    ("none", 'Classify() + 0.1 * FeatureDistill(layers=["embed"])'),
    ("none", 'Classify() + FeatureDistill(layers=["embed"])'),
    ("none", 'Classify() + 0.01 * Delta(layers=["conv3"])'),
    ("none", 'Classify() + 0.1 * Delta(layers=["conv3"])'),
    ("none", 'Classify() + Delta(layers=["conv3"])'),
    ("none", "Classify() + 0.001 * BSS()"),
    ("none", "Classify() + 0.01 * BSS()"),
    ("L2(1.0)", "Classify() + LogitDistill()"),
)
Job = tuple[str, str, str, int]


def contender(objective: Objective | None) -> Callable[[], None]:
    torch.manual_seed(1)
    model = CifarResNet20(10).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    batch = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(batch[0]), batch[1]) if objective is None else objective(model, batch).total
        loss.backward()
        optimizer.step()

    return step


def cpu_seconds(step: Callable[[], None]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def costs() -> dict[str, list[float]]:
    source = frozen(CifarResNet20(10))
    steps = {PLAIN: contender(None)}
    steps |= {text: contender(parse(text).bind(source)) for text in COSTED}
    for step in steps.values():
        step()
    found: dict[str, list[float]] = {text: [] for text in steps}
    for _ in range(REPEATS):
        for text, step in steps.items():
            found[text].append(cpu_seconds(step))
    return found


def attention_seconds() -> float:
    """Of the weights of `layer3`, from as many pictures as one batch has."""
    source = frozen(CifarResNet20(10))
    batch = torch.randn(BATCH, 3, 32, 32), torch.randint(5, (BATCH,))
    start = time.process_time()
    attention(source, nn.Linear(64, 5), [batch], ["layer3"])
    return time.process_time() - start


def flatness(folder: str) -> str:
    """How far the weights of `conv3` of the MNIST source are from equal, by a probe of 100 digits."""
    from tether.engine.build import build
    from tether.engine.source import source_model

    built = build(run_spec(folder, "none", 0, per_class=10))
    assert built.source is not None
    source = frozen(source_model(built.spec, built.source))
    batches = list(built.task.batches(0))
    with torch.no_grad():
        features = [forward(source, inputs, [Tap(None, "input")]).one(Tap(None, "input")) for inputs, _ in batches]
    probe = fitted(torch.cat(features), torch.cat([labels for _, labels in batches]))
    risen = increases(source, probe, batches, ["conv3"])["conv3"]
    weights = {"the paper's": risen.softmax(0), "the published code's": (standard(risen) / 5).softmax(0)}
    spreads = [f"{whose} from {w.min() * len(w):.3f} to {w.max() * len(w):.3f}" for whose, w in weights.items()]
    return (
        f"Weights of the {len(risen)} channels of the MNIST source's `conv3`, times their number: {', '.join(spreads)}."
    )


def standard(values: torch.Tensor) -> torch.Tensor:
    return (values - values.mean()) / values.std(correction=0)


def fitted(features: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    probe = nn.Linear(features.shape[1], 10)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(probe(features), labels) + 1e-3 * probe.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return probe


def run_spec(folder: str, penalty: str, seed: int, *, per_class: int = 2) -> RunSpec:
    return RunSpec.from_flags(
        {
            "model.name": "digits-cnn",
            "source.path": "mnist",
            "source.exclude": ["head.*"],
            "source.head": "random",
            "source.data": "mnist",
            "data.path": folder,
            "data.per_class": per_class,
            "data.augment": "none",
            "plan.transferred": penalty,
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


def kept(job: Job) -> tuple[float, float]:
    from tether.engine.build import build
    from tether.engine.evaluate import score
    from tether.engine.optimise import make_optimizer, make_schedule
    from tether.engine.retention import Retention
    from tether.engine.source import source_model

    torch.set_num_threads(1)
    folder, penalty, text, seed = job
    built = build(run_spec(folder, penalty, seed))
    assert built.source is not None
    retention = Retention(built)
    objective = parse(text).bind(frozen(source_model(built.spec, built.source)))
    optimizer = make_optimizer(built.spec.optimizer, built.model)
    schedule = make_schedule(built.spec.optimizer, optimizer, built.steps)
    built.leash.attach(optimizer)
    for epoch in range(built.epochs):
        built.train_mode()
        for batch in built.task.batches(epoch):
            objective(built.model, batch).total.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    built.leash.flush()
    return score(built.model, built.task.still("test")).accuracy, retention.measure(built.model)["kept"]


def all_kept(folder: str) -> np.ndarray:
    jobs = [(folder, *cell, seed) for cell in KEPT for seed in SEEDS]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return np.array(list(pool.map(kept, jobs))).reshape(len(KEPT), len(SEEDS), 2)


def cost_table(found: dict[str, list[float]]) -> list[str]:
    lines = ["| objective | ms, median | times the plain step, median (quartiles) of pairs |", "|---|---|---|"]
    for text, seconds in found.items():
        low, middle, high = statistics.quantiles([s / base for s, base in zip(seconds, found[PLAIN], strict=True)], n=4)
        shown = text if text == PLAIN else f"`{text}`"
        lines.append(f"| {shown} | {1000 * statistics.median(seconds):.0f} | {middle:.2f} ({low:.2f}–{high:.2f}) |")
    return lines


def kept_table(found: np.ndarray) -> list[str]:
    lines = [
        "| objective | penalty | target accuracy | kept of the source | kept, against neither |",
        "|---|---|---|---|---|",
    ]
    for (penalty, text), figures in zip(KEPT, found, strict=True):
        change = "–" if (penalty, text) == KEPT[0] else mean(figures[:, 1] - found[0, :, 1])
        shown = "–" if penalty == "none" else f"`{penalty}`"
        lines.append(f"| `{text}` | {shown} | {mean(figures[:, 0])} | {mean(figures[:, 1])} | {change} |")
    return lines


def mean(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def machine() -> str:
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores; torch {torch.__version__}; "
        f"commit {asked.stdout.strip() or 'none'}; written by `python benchmarks/terms.py`."
    )


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = costs()
    weights = attention_seconds()
    steps = weights / statistics.median(found[PLAIN])
    with tempfile.TemporaryDirectory() as scratch:
        write_halves(Path(scratch))
        spread, measured = flatness(f"{scratch}/digits/reported"), all_kept(f"{scratch}/digits/reported")
    lines = [
        "# What terms cost, and what they keep",
        "",
        machine(),
        "",
        "## Cost of a step",
        "",
        f"`cifar-resnet20`, {BATCH} pictures of 32 × 32, SGD with momentum, float32; {REPEATS} repeats, "
        "interleaved, one thread, CPU time.",
        "",
        *cost_table(found),
        "",
        f"`attention` of the 64 channels of `layer3` from {BATCH} pictures: {weights:.1f} s, "
        f"as {steps:.0f} plain steps, once.",
        "",
        "## What is kept",
        "",
        f"`digits-cnn`, source `mnist`, 2 digits a class, a new head that starts at random, SGD with momentum 0.9, "
        f"peak rate {RATE}, 150 steps; mean ± standard error of {len(SEEDS)} seeds. All that was tried is shown.",
        "",
        *kept_table(measured),
        "",
        spread,
        "",
    ]
    report = "\n".join(lines)
    (Path(__file__).parent / "reports" / "terms.md").write_text(report, encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()

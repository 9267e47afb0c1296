"""The article's five steps: a source, a transfer, few target pictures, a penalty, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tether.data.digits import read_digits
from tether.demo.result import METHODS, Demo, Outcome, draw
from tether.files import make_run_folder, write_durably
from tether.record import cores
from tether.spec import RunSpec

PER_CLASS, EPOCHS, BATCH = 2, 150, 20
RATES = (0.003, 0.01, 0.03)
TUNING_SEEDS = (1000, 1001)
PLANS: Mapping[str, str] = {"scratch": "none", "plain": "none", "differential_l2": "differential_l2", "l2_sp": "l2_sp"}
TITLE = f"MNIST → scikit-learn's digits, {PER_CLASS} a class, a new head, {EPOCHS} steps of SGD"


def demo(out: Path, *, seeds: int = 5) -> Demo:
    """Run everything into a new folder: digits, runs, `demo.json`, `demo.txt` and `demo.png`.

    Each method's rate is chosen by mean accuracy over two seeds on one half of the digits; the other half alone is
    reported. Strengths are the presets' own and are not searched.

    Raises:
        RunExists: the folder is there already.
        MachineError: the disk or the memory failed.
    """
    make_run_folder(out)
    write_halves(out)
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        tried = [(method, rate, seed) for method in PLANS for rate in RATES for seed in TUNING_SEEDS]
        rates = _chosen(tried, list(pool.map(_tuned, [_spec(out / "digits" / "tuning", *cell) for cell in tried])))
        cells = [(method, rates.get(method, RATES[0]), seed) for method in METHODS for seed in range(seeds)]
        found = list(pool.map(_reported, [(out, cell, _spec(out / "digits" / "reported", *cell)) for cell in cells]))
    source = next(accuracy for _, accuracy in found if accuracy is not None)
    result = Demo(tuple(outcome for outcome, _ in found), rates, source, TITLE, out)
    figures = {"title": TITLE, "source": source, "rates": rates, "outcomes": [vars(o) for o in result.outcomes]}
    write_durably(out / "demo.json", json.dumps(figures, indent=1) + "\n")
    write_durably(out / "demo.txt", f"{result}\n")
    draw(result, out / "demo.png")
    return result


Cell = tuple[str, float, int]


def _spec(digits: Path, method: str, rate: float, seed: int) -> RunSpec:
    settings: dict[str, Any] = {
        "model.name": "digits-cnn",
        "data.path": str(digits),
        "data.per_class": PER_CLASS,
        "data.augment": "none",
        "plan.preset": PLANS.get(method, "frozen"),
        "optimizer.name": "sgd",
        "optimizer.lr": rate,
        "train.epochs": EPOCHS,
        "train.batch_size": BATCH,
        "seed": seed,
        "threads": 1,
        "device": "cpu",
    }
    if method == "scratch":
        return RunSpec.from_flags(settings)
    source = {"source.path": "mnist", "source.exclude": ["head.*"], "source.head": "random"}
    return RunSpec.from_flags(settings | source)


def _tuned(spec: RunSpec) -> float:
    import torch

    from tether.engine.build import build
    from tether.engine.evaluate import score
    from tether.engine.loop import train
    from tether.engine.optimise import make_optimizer
    from tether.engine.training import Training
    from tether.errors import Diverged

    torch.set_num_threads(1)
    built = build(spec)
    try:
        train(Training(built, make_optimizer(built.spec.optimizer, built.model)), lambda row: None, quiet=True)
        return score(built.model, built.task.still("test")).accuracy
    except Diverged:
        return 0.0


def _chosen(tried: Sequence[Cell], accuracies: Sequence[float]) -> dict[str, float]:
    sums: dict[str, dict[float, float]] = {method: dict.fromkeys(RATES, 0.0) for method in PLANS}
    for (method, rate, _), accuracy in zip(tried, accuracies, strict=True):
        sums[method][rate] += accuracy
    return {method: max(by_rate, key=lambda rate: by_rate[rate]) for method, by_rate in sums.items()}


def _reported(job: tuple[Path, Cell, RunSpec]) -> tuple[Outcome, float | None]:
    import torch

    from tether.engine.build import build
    from tether.engine.fit import fit
    from tether.engine.probe import probe
    from tether.engine.retention import Retention

    out, (method, _, seed), spec = job
    torch.set_num_threads(1)
    if method == "scratch":
        outcome = fit(spec, out / f"{method}-{seed}", quiet=True).outcome
        return Outcome(method, seed, outcome["test"]["accuracy"], None, None), None
    spec = spec.replace({"source.data": "mnist"})
    if method == "linear probe":
        built = build(spec)
        kept = Retention(built).measure(built.model)
        return Outcome(method, seed, probe(built.model, built.task)["accuracy"], kept["kept"], 0.0), kept["source"]
    outcome = fit(spec, out / f"{method}-{seed}", quiet=True).outcome
    kept = outcome["retention"]
    return Outcome(method, seed, outcome["test"]["accuracy"], kept["kept"], outcome["displacement"]), kept["source"]


def write_halves(out: Path) -> None:
    """Put the digits into two folders, each drawn as MNIST's are: 20 pixels wide in the middle of 28."""
    digits = read_digits()
    order = np.random.default_rng(0).permutation(len(digits))
    for half, indices in zip(("tuning", "reported"), np.array_split(order, 2), strict=True):
        for index in indices:
            canvas = Image.new("L", (28, 28))
            canvas.paste(digits.read(int(index)).resize((20, 20), Image.Resampling.BILINEAR), (4, 4))
            folder = out / "digits" / half / digits.classes[digits.labels[index]]
            folder.mkdir(parents=True, exist_ok=True)
            canvas.save(folder / f"{index:04d}.png")

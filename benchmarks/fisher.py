"""The three kinds of Fisher information of the packaged MNIST model, on its own pictures and on scikit-learn's digits.

`python benchmarks/fisher.py` writes benchmarks/reports/fisher.md. The model's own pictures are the 1,000 digits that
it never saw; the target's are 1,000 of scikit-learn's, drawn by seed 0 and shown to it at the size it was trained on.
What is compared is what `fit` would use with a new head: the body's parameters.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether import RunSpec
from tether.curvature.fisher import KINDS, Kind, fisher
from tether.curvature.squares import SquaredGradients
from tether.engine.build import build
from tether.engine.measure import to_evaluate
from tether.engine.source import source_classes, source_model
from tether.models.cifar_resnet import CifarResNet20
from tether.tasks.image import still_batches

COUNT, BATCH, REPEATS = 1000, 64, 9
FITTED = 0.99
SAME = "exact, the model's own pictures"
REPORT = Path(__file__).parent / "reports" / "fisher.md"


@dataclass(frozen=True)
class Pictures:
    """Prepared pictures with their labels as the model's head counts them."""

    inputs: Tensor
    labels: Tensor

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.inputs.split(BATCH), self.labels.split(BATCH), strict=True)

    def at(self, chosen: Tensor) -> "Pictures":
        return Pictures(self.inputs[chosen], self.labels[chosen])


def load() -> tuple[nn.Module, dict[str, Pictures]]:
    """The source model, whole; and its own pictures and the target's."""
    flags = {"model.name": "digits-cnn", "source.path": "mnist", "data.path": "digits", "plan.preset": "none"}
    job = build(RunSpec.from_flags(flags | {"threads": 1, "device": "cpu"}))
    classes = source_classes(job.spec, job.source)
    found = {}
    for name in ("mnist", "digits"):
        pictures, indices = to_evaluate(name, classes)
        chosen = np.sort(np.random.default_rng(0).permutation(indices)[:COUNT])
        inputs, labels = zip(*still_batches(pictures, chosen, job.spec), strict=True)
        found[name] = Pictures(torch.cat(inputs), torch.cat(labels))
    return source_model(job.spec, job.source).eval(), found


def body(model: nn.Module, pictures: Pictures, kind: Kind, seed: int = 0) -> dict[str, np.ndarray]:
    found = fisher(model, pictures.batches(), kind=kind, seed=seed)
    return {name: value.double().numpy() for name, value in found.items() if not name.startswith("head.")}


def squared_mean_gradients(model: nn.Module, pictures: Pictures) -> dict[str, np.ndarray]:
    """The mistake: the square of a batch's mean gradient, averaged over batches."""
    sums = {name: torch.zeros_like(p) for name, p in model.named_parameters() if not name.startswith("head.")}
    batches = list(pictures.batches())
    for inputs, labels in batches:
        model.zero_grad()
        cross_entropy(model(inputs), labels).backward()
        for name in sums:
            sums[name] += model.get_parameter(name).grad.square() / len(batches)
    model.zero_grad()
    return {name: value.double().numpy() for name, value in sums.items()}


def flat(found: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([value.ravel() for value in found.values()])


def contenders(model: nn.Module, own: Pictures, target: Pictures) -> dict[str, dict[str, np.ndarray]]:
    found = {SAME: body(model, own, "exact")}
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    found["exact, half of them"] = body(model, own.at(order[: COUNT // 2]), "exact")
    found["exact, 100 of them"] = body(model, own.at(order[:100]), "exact")
    found["sampled, the model's own pictures"] = body(model, own, "sampled")
    found["sampled with another seed"] = body(model, own, "sampled", seed=1)
    found["empirical, the model's own pictures"] = body(model, own, "empirical")
    found[f"squared mean gradient of batches of {BATCH}: a mistake"] = squared_mean_gradients(model, own)
    found["exact, the target's pictures"] = body(model, target, "exact")
    found["sampled, the target's pictures"] = body(model, target, "sampled")
    found["empirical, the target's pictures and labels"] = body(model, target, "empirical")
    return found


def kinds_table(found: dict[str, dict[str, np.ndarray]]) -> list[str]:
    base = found[SAME]
    lines = [
        "| Fisher information | mean | of the first | median | largest / mean | next to 0 | Spearman | in a tensor |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, values in found.items():
        every, mine = flat(base), flat(values)
        small = (mine <= 1e-6 * mine.max()).mean()
        within = statistics.median(spearmanr(values[n].ravel(), base[n].ravel()).statistic for n in base)
        spread = f"{np.median(mine):.2e} | {mine.max() / mine.mean():.0f}"
        figures = f"{mine.mean():.2e} | {mine.mean() / every.mean():.2f} | {spread} | {small:.0%}"
        lines.append(f"| {name} | {figures} | {spearmanr(mine, every).statistic:.2f} | {within:.2f} |")
    return lines


@torch.no_grad()
def sure(model: nn.Module, pictures: Pictures) -> Tensor:
    """p(label) of each picture."""
    return model(pictures.inputs).softmax(1).gather(1, pictures.labels[:, None])[:, 0]


def fitted_table(model: nn.Module, pictures: dict[str, Pictures]) -> list[str]:
    lines = [f"| pictures | accuracy | p(label) > {FITTED} | exact, mean | empirical, mean | empirical / exact |"]
    lines.append("|---|---|---|---|---|---|")
    for name, shown in pictures.items():
        certain = sure(model, shown)
        right = (model(shown.inputs).argmax(1) == shown.labels).double().mean()
        for what, chosen in {
            "all": certain >= 0,
            f"those of p(label) > {FITTED}": certain > FITTED,
            "the others": certain <= FITTED,
        }.items():
            part = shown.at(chosen)
            exact, empirical = (flat(body(model, part, kind)).mean() for kind in ("exact", "empirical"))
            about = f"{right:.3f} | {(certain > FITTED).double().mean():.0%}" if what == "all" else "|"
            figures = f"{exact:.2e} | {empirical:.2e} | {empirical / exact:.3f}"
            lines.append(f"| {name}: {what} ({int(chosen.sum())}) | {about} | {figures} |")
    return lines


def halves(model: nn.Module, pictures: dict[str, Pictures]) -> list[str]:
    """What another draw of as few as half of the pictures changes: two halves without a picture in common."""
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    lines = []
    for name, shown in pictures.items():
        one, other = (flat(body(model, shown.at(half), "exact")) for half in order.split(COUNT // 2))
        means = f"means {one.mean():.2e} and {other.mean():.2e}"
        lines.append(f"Two disjoint halves of {name}, exact: {means}, Spearman {spearmanr(one, other).statistic:.2f}.")
    return lines


def scales(model: nn.Module, pictures: dict[str, Pictures]) -> list[str]:
    found = {name: fisher(model, shown.batches(), normalise=True).scale for name, shown in pictures.items()}
    listed = ", ".join(f"{scale:.2e} on {name}" for name, scale in found.items())
    return [f"The mean over all values, the head's too, by which `normalise` divides (exact): {listed}."]


def cost_table(digits: nn.Module, own: Pictures) -> list[str]:
    """CPU time against one forward and backward pass over the same batches, paired within a repeat."""
    lines = ["| network, pictures | a gradient pass, s | exact | sampled | empirical | empirical in a loop |"]
    lines.append("|---|---|---|---|---|---|")
    torch.manual_seed(0)
    for name, model, shown in [
        ("digits-cnn, 512 of 28 × 28", digits, own.at(torch.arange(512))),
        (
            "cifar-resnet20, 64 of 32 × 32",
            CifarResNet20(10, 3).eval(),
            Pictures(torch.randn(64, 3, 32, 32), torch.randint(10, (64,))),
        ),
    ]:
        runs: dict[str, Callable[[], object]] = {"pass": lambda m=model, s=shown: gradient_pass(m, s)}
        runs |= {kind: lambda m=model, s=shown, k=kind: fisher(m, s.batches(), kind=k) for kind in KINDS}
        runs["loop"] = lambda m=model, s=shown: loop(m, s)
        seconds: dict[str, list[float]] = {key: [] for key in runs}
        for run in runs.values():
            run()
        for _ in range(REPEATS):
            for key, run in runs.items():
                seconds[key].append(cpu_seconds(run))
        ratios = (
            f"{statistics.median(s / base for s, base in zip(seconds[key], seconds['pass'], strict=True)):.1f} ×"
            for key in (*KINDS, "loop")
        )
        lines.append(f"| {name} | {statistics.median(seconds['pass']):.2f} | {' | '.join(ratios)} |")
    return lines


def gradient_pass(model: nn.Module, shown: Pictures) -> None:
    for inputs, labels in shown.batches():
        model.zero_grad()
        cross_entropy(model(inputs), labels).backward()
    model.zero_grad()


def loop(model: nn.Module, shown: Pictures) -> None:
    """What a network that torch cannot batch costs."""
    squares = SquaredGradients(model)
    squares.batched = False
    for inputs, labels in shown.batches():
        squares(inputs, labels, torch.ones(len(inputs)))


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def conditions(values: int) -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return (
        f"`digits-cnn`, source `mnist`, {values:,} values of the body; {COUNT} pictures of each data set; `sampled` "
        f"with one draw. Next to 0: at most a millionth of the largest. Spearman: rank correlation with the first row, "
        f"over all values, and the median of that within each tensor. {names[0] if names else platform.processor()}, "
        f"{os.cpu_count()} cores, one thread; torch {torch.__version__}, Python {sys.version.split()[0]}; commit "
        f"{asked.stdout.strip() or 'none'}; written by `python benchmarks/fisher.py`."
    )


def main() -> None:
    torch.set_num_threads(1)
    model, pictures = load()
    found = contenders(model, pictures["mnist"], pictures["digits"])
    sections = {
        "Kinds and data": kinds_table(found),
        "Another draw of the pictures": halves(model, pictures),
        "Normalisation": scales(model, pictures),
        "Where the model fits": fitted_table(model, pictures),
        f"Cost, in CPU time, median of {REPEATS} pairs": cost_table(model, pictures["mnist"]),
    }
    lines = [f"# {__doc__.splitlines()[0]}", "", conditions(flat(found[SAME]).size)]
    for title, table in sections.items():
        lines += ["", f"## {title}", "", *table]
    text = "\n".join(lines) + "\n"
    print(text)
    REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

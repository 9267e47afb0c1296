"""What one tethered optimiser step costs on ResNet-50's parameters: `python benchmarks/step.py`.

Every contender steps a copy of the same tensors, one after another in one process on one thread, and each repeat
compares it with the plain `AdamW(fused=True)` of the same repeat, in CPU time.
"""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.ball import FrobeniusBall
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.presets import ewc, mars_sp

REPEATS = 25
STEPS = 3
REPORT = Path(__file__).parent / "reports" / "step.md"
BASE = "AdamW fused"


def shapes() -> dict[str, torch.Size]:
    from torchvision.models import resnet50

    with torch.device("meta"):
        return {name: p.shape for name, p in resnet50().named_parameters()}


def model() -> nn.Module:
    """A module with ResNet-50's parameters by name, random values and random gradients."""
    whole = nn.ParameterDict()
    for name, shape in shapes().items():
        parameter = nn.Parameter(torch.randn(shape) * 0.05)
        parameter.grad = torch.randn(shape) * 0.01
        whole[name.replace(".", "_")] = parameter
    return whole


def importance() -> dict[str, torch.Tensor]:
    return {name.replace(".", "_"): torch.rand(shape) for name, shape in shapes().items()}


def contender(plan: Plan | None, **settings: Any) -> Callable[[], None]:
    body = model()
    optimizer = torch.optim.AdamW(body.parameters(), lr=1e-3, weight_decay=0.0, **settings)
    if plan is not None:
        leash = Tether(body, Anchor.of(body, new="fc_*"), plan).attach(optimizer)
        assert {part.name for part in leash.parts if part.role == "transferred"} >= set(leash.anchor.references)

    def step() -> None:
        optimizer.step()

    return step


def contenders() -> dict[str, Callable[[], None]]:
    return {
        BASE: contender(None, fused=True),
        "+ L2-SP by prox": contender(Plan(L2(0.1), L2(0.01)), fused=True),
        "+ L2-SP by gradient": contender(Plan(L2(0.1), L2(0.01), via="gradient"), fused=True),
        "+ L1-SP by prox": contender(Plan(L1(1e-3), L2(0.01)), fused=True),
        "+ L2-SP by prox, in the optimiser's metric": contender(
            Plan(L2(0.1), L2(0.01), metric="optimizer"), fused=True
        ),
        "+ EWC by gradient": contender(ewc(importance(), 1.0), fused=True),
        "+ group lasso by prox": contender(Plan(GroupLasso(1e-3), L2(0.01)), fused=True),
        "+ ball of the Frobenius norm": contender(Plan(FrobeniusBall(1.0)), fused=True),
        "+ ball of the MARS norm": contender(mars_sp(1.0), fused=True),
        "AdamW foreach": contender(None, foreach=True),
    }


def cpu_seconds(step: Callable[[], None]) -> float:
    start = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - start) / STEPS


def measure(repeats: int = REPEATS) -> dict[str, list[float]]:
    steps = contenders()
    for step in steps.values():
        step()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            found[name].append(cpu_seconds(step))
    return found


def table(found: dict[str, list[float]]) -> list[str]:
    lines = ["| step | ms, median | times the plain one, median (quartiles) of pairs |", "|---|---|---|"]
    for name, seconds in found.items():
        ratios = [s / base for s, base in zip(seconds, found[BASE], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        lines.append(f"| {name} | {1000 * statistics.median(seconds):.1f} | {middle:.2f} ({low:.2f}–{high:.2f}) |")
    return lines


def processor() -> str:
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return f"{names[0]}, {os.cpu_count()} cores" if names else platform.processor()


def commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else "before the first commit"


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    values = sum(shape.numel() for shape in shapes().values())
    lines = table(measure())
    about = (
        f"ResNet-50's {len(shapes())} parameters ({values / 1e6:.1f} M float32 values), random gradients; "
        f"{REPEATS} repeats of {STEPS} steps, interleaved, one thread, CPU time. {processor()}; "
        f"torch {torch.__version__}; commit {commit()}; written by `python benchmarks/step.py`."
    )
    report = "\n".join(["# The cost of a tethered step", "", about, "", *lines, ""])
    REPORT.write_text(report)
    print(report)


if __name__ == "__main__":
    main()

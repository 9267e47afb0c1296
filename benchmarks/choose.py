"""Which penalty, which reference, which strength, and when none: `python benchmarks/choose.py`.

A small CNN learns MNIST, and then, from 50 or 200 pictures, more MNIST, USPS or Fashion-MNIST under each of the plans
below, in a loop of its own to which a tether is attached. Within a seed every plan has the same source, pictures, head
start and batches. Writes benchmarks/reports/choose.md. `--data` names the folder of data, `--fashion` that of
Fashion-MNIST.
"""

import argparse
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from choose_data import KEPT, TEST, Pictures, Split, Store
from choose_report import Measured, report
from step import commit, processor
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether import L2, Anchor, Plan, Tether, differential_l2, frozen, l1_sp, l2, l2_sp, none
from tether.curvature.fisher import fisher
from tether.penalties.presets import ewc

SEEDS, SIZES, STEPS, BATCH, SOURCE_STEPS, SOURCE_BATCH, FISHER = 5, (50, 200), 250, 20, 600, 64, 500
DATA = Path(__file__).parents[2] / "shared" / "data"
FASHION = Path("/usr/share/datasets/fashion-mnist")
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "Adam 1e-3": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
    "SGD 0.01, momentum 0.9": lambda model: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
}
Importance = dict[str, Tensor]


def plans(size: int, importance: Importance) -> dict[str, tuple[Plan, str | None]]:
    """Each plan by name, and the way it acts where that is not its own. Strengths are a grid set beforehand."""
    return {
        "none": (none(), None),
        "l2(1e-4)": (l2(1e-4), None),
        "differential_l2(1e-4, 1e-5)": (differential_l2(), None),
        "l2(1/n)": (l2(1 / size), None),
        "l2(1/n) by prox": (l2(1 / size), "prox"),
        "the head alone, L2(0.01)": (Plan(new=L2(0.01), via="gradient"), None),
        **{f"l2_sp({alpha:g})": (l2_sp(alpha), None) for alpha in (0.001, 0.01, 0.1, 1.0)},
        **{f"l2_sp({alpha:g}) by prox": (l2_sp(alpha), "prox") for alpha in (0.001, 0.01, 0.1, 1.0, 10.0)},
        **{f"l1_sp({alpha:g})": (l1_sp(alpha), None) for alpha in (0.001, 0.01)},
        **{f"ewc({strength:g})": (ewc(importance, strength), None) for strength in (0.1, 1.0)},
        "frozen": (frozen(), None),
    }


def net() -> nn.Sequential:
    """93,234 parameters: two 3x3 convolutions with pooling, an embedding of 56, a head; no BatchNorm."""
    body = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 56), nn.ReLU()),
    )
    model = nn.Sequential(OrderedDict(body=body, head=nn.Linear(56, 10)))
    return model.to(memory_format=torch.channels_last)


def batches(count: int, size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Rows of each step's batch: one shuffled pass after another."""
    draw = torch.Generator().manual_seed(seed)
    passes = math.ceil(steps * size / count)
    rows = torch.cat([torch.randperm(count, generator=draw) for _ in range(passes)])
    return iter(rows[: steps * size].reshape(steps, size))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, pictures: Pictures, rows: Iterator[Tensor]) -> None:
    """Plain PyTorch: what is attached to the optimiser acts in its step."""
    for chosen in rows:
        batch = pictures[chosen]
        optimizer.zero_grad()
        cross_entropy(model(batch.x), batch.y).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(model: nn.Module, pictures: Pictures) -> float:
    guesses = torch.cat([model(part).argmax(dim=1) for part in pictures.x.split(100)])  # parts that stay in cache
    return float((guesses == pictures.y).float().mean())


def source(split: Split, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    model = net()
    rows = batches(len(split.source.y), SOURCE_BATCH, SOURCE_STEPS, seed)
    train(model, torch.optim.Adam(model.parameters(), lr=1e-3), split.source, rows)
    return model


def fine_tune(
    start: nn.Sequential, plan: tuple[Plan, str | None], optimizer: str, pictures: Pictures, seed: int
) -> tuple[nn.Sequential, float]:
    """The model after fine-tuning with a new head, and ‖w − w⁰‖."""
    model = net()
    model.body.load_state_dict(start.body.state_dict())
    torch.manual_seed(seed)
    model.head.reset_parameters()
    held, via = plan
    leash = Tether(model, Anchor.of(model, new="head.*"), held)
    stepper = OPTIMIZERS[optimizer](model)
    leash.attach(stepper, via=via)
    train(model, stepper, pictures, batches(len(pictures.y), BATCH, STEPS, seed))
    leash.flush()
    assert leash.steps_acted == (STEPS if leash.parts else 0), leash.acted_on
    return model, leash.log()["tether/displacement"]


def displacement(model: nn.Sequential, start: nn.Sequential) -> Tensor:
    both = zip(model.body.parameters(), start.body.parameters(), strict=True)
    return torch.cat([(w - w0).detach().flatten() for w, w0 in both])


def measure(store: Store, seeds: int) -> Iterator[Measured | float]:
    """Every fine-tuned model; before those of a seed, the accuracy of its source model on what measures the kept."""
    for seed in range(seeds):
        split = store.split(seed)
        start = source(split, seed)
        yield accuracy(start, split.kept)
        importance = fisher(start, [split.source.x[:FISHER]], normalise=True)
        for target, (pictures, test) in split.targets.items():
            for size in SIZES:
                for optimizer in OPTIMIZERS:
                    for name, plan in plans(size, importance).items():
                        few = pictures[torch.arange(size)]
                        model, moved = fine_tune(start, plan, optimizer, few, seed)
                        squares = displacement(model, start).square()
                        if name == "none":
                            idle = squares == 0
                        yield Measured(
                            *(seed, target, size, optimizer, name),
                            accuracy(model, test),
                            accuracy(nn.Sequential(model.body, start.head), split.kept),
                            moved,
                            float(squares[idle].sum() / squares.sum()) if moved else 0.0,
                        )


def about(sources: list[float], seconds: float, code: str) -> str:
    values = sum(p.numel() for p in net().parameters())
    return (
        f"A CNN of {values:,} parameters without BatchNorm learns MNIST ({SOURCE_STEPS} steps of {SOURCE_BATCH}, Adam "
        f"at 1e-3; {min(sources):.3f} to {max(sources):.3f} on the {KEPT} pictures that measure what is kept). Its "
        f"body is fine-tuned with a new, random head on {' or '.join(map(str, SIZES))} pictures, as many of each "
        f"class, for {STEPS} steps of {BATCH} at a constant rate, and tested on {TEST} others. Kept: the source's head "
        f"on the fine-tuned body. `l2_sp` and `l1_sp` have β = 0.01 on the head; `ewc` has the exact Fisher "
        f"information of {FISHER} source pictures, divided by its mean; n is the number of training pictures. "
        f"Strengths are a grid set beforehand, and none is chosen on test pictures. {len(sources)} seeds; within a "
        f"seed every plan has the same source, pictures, head start and batches. {seconds / 60:.0f} minutes on one "
        f"thread of {processor()}; torch {torch.__version__}; commit {code}; written by "
        f"`python benchmarks/choose.py`."
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--data", type=Path, default=DATA, help="the folder that holds mnist/ and usps/")
    asked.add_argument("--fashion", type=Path, default=FASHION, help="the folder of Fashion-MNIST's idx files")
    asked.add_argument("--seeds", type=int, default=SEEDS)
    given = asked.parse_args()
    torch.set_num_threads(1)
    began, code, sources, found = time.monotonic(), commit(), [], []
    for one in measure(Store.read(given.data, given.fashion), given.seeds):
        (found if isinstance(one, Measured) else sources).append(one)
        if isinstance(one, Measured):
            print(f"{time.monotonic() - began:6.0f} s {one}", flush=True)
    report(found, about(sources, time.monotonic() - began, code))


if __name__ == "__main__":
    main()

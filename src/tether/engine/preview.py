"""Preview: what a run would do to every parameter, before it is started."""

import copy
import time
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from tether.engine.build import Job, build
from tether.engine.optimise import make_optimizer, rate
from tether.engine.rows import Row, rows
from tether.errors import UnknownStep
from tether.escaping import printable, terminal
from tether.penalties.l2 import L2
from tether.spec import RunSpec
from tether.stepsize import effective_step
from tether.summary import table

WEAK, STRONG = 0.05, 0.99
TIMED_STEPS = 3


@dataclass(frozen=True)
class Preview:
    """Every parameter's fate, and what the whole run amounts to.

    Args:
        pulls: sentences on the total pull 1 − ∏ 1/(1 + η_t·λ) of each strength.
        seconds: estimated time of all training steps, from three on a copy.
    """

    title: str
    rows: tuple[Row, ...]
    pulls: tuple[str, ...]
    memory: str
    seconds: float
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [["parameter", "shape", "fate", "penalty", "toward", "strength", "peak lr"]]
        for row in self.rows:
            strength = "–" if row.strength is None else f"{row.strength:g}"
            lr = "–" if row.lr is None else f"{row.lr:g}"
            shape = "×".join(map(str, row.shape)) or "1"
            lines.append([terminal(row.name), shape, row.fate, printable(row.penalty), row.reference, strength, lr])
        when = f"time: about {self.seconds:.0f} s of training steps here"
        return "\n".join([self.title, *table(lines), *self.pulls, self.memory, when, *self.notes])


def preview(spec: RunSpec) -> Preview:
    """Build a run and describe it; nothing is trained or written.

    Raises:
        InputError: whatever `fit` would refuse.
    """
    job = build(spec, started=False)
    torch.set_num_threads(job.spec.threads or 1)
    seconds = _step_seconds(job) * job.steps if job.steps else 0.0
    optimizer = make_optimizer(job.spec.optimizer, job.model)
    job.leash.attach(optimizer)
    moved = [str(job.moved)] if job.moved else ["no source: every parameter is new"]
    return Preview(
        title="\n".join([f"plan: {printable(str(job.leash.plan))}", *moved]),
        rows=tuple(rows(job.leash, optimizer)),
        pulls=tuple(_pulls(job, optimizer)),
        memory=_memory(job),
        seconds=seconds,
        notes=(f"batchnorm: {job.spec.batchnorm}", f"data: {job.task.split}"),
    )


def total_pull(rates: list[float], strength: float) -> float:
    """By which share a displacement shrinks over a run that does nothing else: 1 − ∏ 1/(1 + η_t·λ).

    >>> round(total_pull([1.0, 1.0], 1.0), 2)
    0.75
    """
    left = 1.0
    for step in rates:
        left /= 1 + step * strength
    return 1 - left


def _pulls(job: Job, optimizer: Optimizer) -> list[str]:
    plan = job.leash.plan
    if not job.steps:
        return ["no step is made: the model ends as it starts, and nothing pulls"]
    pulls = {
        (part.pull.target, part.penalty.strength, part.pull.schedule)
        for part in job.leash.parts
        if isinstance(part.penalty, L2)
    }
    if not pulls:
        return []
    if plan.metric == "optimizer" or (plan.via == "gradient" and not isinstance(optimizer, torch.optim.SGD)):
        why = "Adam divides a coupled pull by the size of the gradients, so its total is not known before the run"
        return [f"total pull: {why}"]
    try:
        step = effective_step(optimizer)
    except UnknownStep:
        return []
    group = optimizer.param_groups[0]
    peak = float(step(group))
    rates = [peak * rate(t, job.steps, job.spec.optimizer.warmup) for t in range(job.steps)]
    return [
        _said(target, strength, total_pull([r * schedule.factor(t) for t, r in enumerate(rates)], strength))
        for target, strength, schedule in sorted(pulls, key=repr)
    ]


def _said(reference: str, strength: float, pull: float) -> str:
    text = f"total pull toward {reference} at strength {strength:g}: {100 * pull:.3g} % over the run"
    if pull < WEAK:
        return f"{text}\nwarning: under 5 %, so this penalty does next to nothing; raise the strength"
    if pull > STRONG:
        return f"{text}\nwarning: over 99 %, so these parameters end where they are pulled; lower the strength"
    return text


def _memory(job: Job) -> str:
    weights = sum(p.numel() * p.element_size() for p in job.model.parameters())
    trained = sum(p.numel() * p.element_size() for p in job.model.parameters() if p.requires_grad)
    slots = 2 if job.spec.optimizer.name == "adamw" else 1
    anchor = job.leash.anchor
    copied = [value for name, value in anchor.references.items() if name not in anchor.mapped]
    references = sum(value.numel() * value.element_size() for value in copied)
    parts = {"weights": weights, "gradients": trained, "optimiser": slots * trained, "references": references}
    return "memory beside activations: " + ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in parts.items())


def _step_seconds(job: Job) -> float:
    """Time of one step, on a copy that is thrown away; the first step warms up and is not counted."""
    trial = Job(job.spec, job.task, copy.deepcopy(job.model), job.source, job.moved, job.leash, job.objective)
    trial.train_mode()
    optimizer = make_optimizer(job.spec.optimizer, trial.model)
    taken: list[float] = []
    pictures, labels = next(iter(job.task.batches(0)))
    for _ in range(TIMED_STEPS + 1):
        started = time.perf_counter()
        terms = job.objective(trial.model, (pictures.to(job.spec.device), labels.to(job.spec.device)))
        torch.autograd.backward(terms.total)
        optimizer.step()
        optimizer.zero_grad()
        taken.append(time.perf_counter() - started)
    return sum(taken[1:]) / TIMED_STEPS

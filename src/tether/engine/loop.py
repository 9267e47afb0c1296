"""fit: one visible loop from a spec to a finished run."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tether.engine.build import Job, build
from tether.engine.evaluate import Scores, score
from tether.engine.keep import Keeper
from tether.engine.optimise import make_optimizer, make_schedule
from tether.engine.probe import probe
from tether.engine.progress import progress
from tether.engine.retention import Retention
from tether.errors import Diverged
from tether.files import make_run_folder
from tether.record import RunRecord
from tether.spec import RunSpec

Row = dict[str, Any]
TOO_FAST = "the rate is too high, or a picture holds values that are not finite"
SLOWER = "a lower --lr, or a longer warm-up: --set optimizer.warmup=0.3"


@dataclass
class Best:
    """The weights of the best epoch so far on validation; of the last one where there is no validation."""

    epoch: int = 0
    epochs: int = 0
    mark: tuple[float, float] = (-1.0, 0.0)
    state: dict[str, Tensor] = field(default_factory=dict)
    validation: Scores | None = None

    def offer(self, job: Job, found: Scores | None) -> None:
        """Take the weights as they are if they are the best: more accurate, or as accurate and more likely."""
        self.epochs += 1
        mark = (found.accuracy, -found.nll) if found else (0.0, 0.0)
        if found is None or mark > self.mark:
            self.epoch, self.mark, self.validation = self.epochs, mark, found
            self.state = {name: value.detach().cpu().clone() for name, value in job.model.state_dict().items()}


def fit(spec: RunSpec, out: Path | str | None = None, *, quiet: bool | None = None) -> RunRecord:
    """Fine-tune as `spec` says, and leave a run folder.

    Nothing is chosen on the test pictures: they are measured once, by the model and by the probe if there is one. The
    epoch is chosen on validation, and is the last one without.

    Args:
        spec: settings; what they leave open is settled once and written down.
        out: the run folder, which must not exist; `runs/` and the time when not given.
        quiet: no progress bar; when not given, none where stderr is no terminal.

    Raises:
        InputError: data, source, network, plan or settings are wrong; nothing is written.
        RunExists: `out` is there already.
        Diverged: a loss or a gradient is not finite; the update is not made.
        MachineError: the disk or the memory failed.
    """
    folder = Path(out) if out is not None else Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    if os.path.lexists(folder):
        make_run_folder(folder)  # refuses, before anything is read
    started = time.monotonic()
    job = build(spec)
    torch.set_num_threads(job.spec.threads or 1)
    retention = Retention(job) if job.spec.source and job.spec.source.data else None
    optimizer = make_optimizer(job.spec.optimizer, job.model)
    keeper = Keeper(folder, job, optimizer)
    job.leash.attach(optimizer)  # what it refuses is refused before anything is written
    probed = probe(job.model, job.task) if job.spec.probe else None
    keeper.open()
    with keeper.noting_failure():
        best = train(job, optimizer, keeper.log, quiet=quiet)
        job.model.load_state_dict(best.state)
        outcome: Row = {
            "status": "done",
            "test": score(job.model, job.task.still("test")).to_json() if len(job.task.split.test) else None,
            "probe": probed,
            "retention": retention.measure(job.model) if retention else None,
            "validation": best.validation.to_json() if best.validation else None,
            "epoch_taken": best.epoch,
            "epochs": best.epochs,
            "chosen_on": "validation" if best.validation else "nothing: the last epoch, without validation pictures",
            "batchnorm": job.spec.batchnorm,
            "displacement": job.leash.log()["tether/displacement"],
            "steps": job.leash.steps_seen,
            "steps_acted": job.leash.steps_acted,
            "seconds": round(time.monotonic() - started, 2),
        }
        keeper.close(best.state, outcome)
    return RunRecord.read(folder)


def train(job: Job, optimizer: Optimizer, log: Callable[[Row], None], *, quiet: bool | None = None) -> Best:
    """Train a job's model with its tether attached; `log` gets a row an epoch.

    Raises:
        Diverged: a loss or a gradient is not finite, and the update is not made; or the weights have overflowed.
        AttachError: the tether and the optimiser do not fit.
    """
    validated, patience = len(job.task.split.validation) > 0, job.spec.train.patience
    schedule = make_schedule(job.spec.optimizer, optimizer, job.steps)
    job.leash.attach(optimizer)
    best, step = Best(), 0
    with progress(job.steps, job.spec.data.path, quiet=quiet) as advance:
        for epoch in range(job.epochs):
            job.train_mode()
            losses, right, seen = 0.0, 0, 0
            shares: dict[str, float] = {}
            for batch in job.task.batches(epoch):
                pictures, labels = (tensor.to(job.spec.device) for tensor in batch)
                terms = job.objective(job.model, (pictures, labels))
                torch.autograd.backward(terms.total)
                refuse_divergence(terms.total, optimizer, epoch, step)
                optimizer.step()  # the attached tether acts here
                optimizer.zero_grad()
                schedule.step()
                step += 1
                losses += terms.total.item() * len(labels)
                for name, share in terms.values.items() if len(terms.values) > 1 else ():
                    shares[f"terms/{name}"] = shares.get(f"terms/{name}", 0.0) + float(share) * len(labels)
                right += int((terms.output.argmax(1) == labels).sum())
                seen += len(labels)
                advance(f"loss {terms.total.item():.3f}")
            job.leash.flush()
            found = score(job.model, job.task.still("validation")) if validated else None
            best.offer(job, found)
            row = {"epoch": epoch + 1, "step": step, "loss": losses / seen, "train_accuracy": right / seen}
            row |= {"validation_accuracy": found.accuracy, "validation_nll": found.nll} if found else {}
            row |= {name: share / seen for name, share in shares.items()}
            row |= job.leash.log()
            refuse_overflow(row)
            log(row)
            if patience and best.epochs - best.epoch >= patience:
                break
    return best


def refuse_overflow(row: Row) -> None:
    """Stop where an epoch's last update has made the weights too large to measure.

    Raises:
        Diverged: a figure of the row is not finite.
    """
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        raise Diverged(f"`{bad[0]}` is not finite after epoch {row['epoch']}", why=TOO_FAST, fix=SLOWER)


def refuse_divergence(loss: Tensor, optimizer: Optimizer, epoch: int, step: int) -> None:
    """Stop before an update that would put non-finite values into the weights.

    Raises:
        Diverged: the loss or the gradient is not finite.
    """
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    finite = torch.isfinite(torch.stack([loss.detach(), torch.nn.utils.get_total_norm(grads)]))
    if not finite.all():
        raise Diverged(
            f"the {'gradient' if finite[0] else 'loss'} is not finite at step {step + 1}, in epoch {epoch + 1}",
            why=f"that step was not made; {TOO_FAST}",
            fix=SLOWER,
        )

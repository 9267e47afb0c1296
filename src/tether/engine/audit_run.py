"""Audit a finished run: what its folder holds against what its spec builds, and its first step once more."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from tether.anchor import Anchor
from tether.audit.audit import audit
from tether.audit.result import Audit, Row, counted
from tether.audit.statistics import SAID
from tether.binding import Tether
from tether.checkpoint.resolve import load
from tether.engine.build import Job, build, plan
from tether.engine.optimise import make_optimizer
from tether.engine.rows import rows
from tether.engine.source import read_classes
from tether.engine.trained import REFERENCE, Trained
from tether.errors import DataError, TetherError
from tether.escaping import printable
from tether.guard import few
from tether.matching.transfer import Transfer, transfer
from tether.models.build import build as build_model
from tether.models.build import classifier_name
from tether.params.norms import norm_layers
from tether.params.select import parameters
from tether.penalties.frozen import Frozen
from tether.record import RunRecord

PLAN, SAME = "plan.json", "the same"
ROUNDED = 1e-4
T = TypeVar("T")


def audit_run(run: Path | str, *, trust_code: bool = False) -> Audit:
    """Hold a run's folder against its spec and its source, and audit its first step on a batch of its data.

    What needs data or a source that is not there any more is listed as not checked. Nothing is written.

    Raises:
        DataError: the folder is no run, or one of its files cannot be read.
        CheckpointError: the run did not end, or its model or its reference is not what it wrote.
        SettingsError: its network has a dotted name, and `trust_code` is not set.

    """
    folder = Path(run)
    record = RunRecord.read(folder)
    with torch.random.fork_rng(devices=[]):
        trained, written = Trained.load(folder, trust_code=trust_code), _read_plan(folder / PLAN)
        job = _attempt(lambda: build(record.spec))
        found = [_plan_row(written, job)]
        if record.spec.source is not None:
            anchor = Anchor.load(folder / REFERENCE)
            found += _source_rows(trained, anchor)
        else:
            anchor = Anchor({}, dict.fromkeys(parameters(trained.model)))
        leash = _attempt(lambda: Tether(trained.model, anchor, _plan(trained, job)))
        found += _outcome_rows(leash, trained, record.outcome)
        found += _live(job, trained)
    return Audit(str(written["plan"]), tuple(found))


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"plan": found["plan"], "parameters": {(row["name"], row["fate"]): row for row in found["parameters"]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"`{path}` cannot be read: {error}",
            why="the audit compares what it says with what the spec builds",
            fix="audit another run, or run this one again",
        ) from None


def _attempt(make: Callable[[], T]) -> T | TetherError:
    """What is made, or why it cannot be."""
    try:
        return make()
    except TetherError as error:
        return error


def _plan(trained: Trained, job: Job | TetherError) -> Any:
    """The plan of a job, which may have needed data to weigh by; else of the spec alone."""
    return job.leash.plan if isinstance(job, Job) else plan(trained.spec.plan)


def _unknown(check: str, about: str, error: TetherError) -> Row:
    return Row(check, about, "–", "–", None, error.what)


def _plan_row(written: Mapping[str, Any], job: Job | TetherError) -> Row:
    if isinstance(job, TetherError):
        return _unknown("plan as built", PLAN, job)
    table = [row.to_json() for row in rows(job.leash, make_optimizer(job.spec.optimizer, job.model))]
    built = {(row["name"], row["fate"]): json.loads(json.dumps(row)) for row in table}
    keys = built.keys() | written["parameters"].keys()
    other = sorted(name for name, fate in keys if built.get((name, fate)) != written["parameters"].get((name, fate)))
    note = f"`{PLAN}` and `spec.toml` differ in {few(list(dict.fromkeys(other)))}" if other else ""
    if not note and written["plan"] != str(job.leash.plan):
        note = f"the plan of `spec.toml` is {printable(str(job.leash.plan))}"
    return Row("plan as built", PLAN, SAME, "another" if note else SAME, not note, note)


def _source_rows(trained: Trained, anchor: Anchor) -> Iterator[Row]:
    """Whether the references are the source's, and the running statistics as the policy says."""
    about = counted(len(anchor.references), "parameter")
    moved = _attempt(lambda: _transferred(trained))
    if isinstance(moved, TetherError):
        yield _unknown("reference as kept", about, moved)
        if anchor.norms:
            yield _unknown("batchnorm as kept", counted(len(anchor.norms), "layer"), moved)
        return
    other = _differing(anchor, moved.anchor)
    note = f"the source now gives other values for {few(other)}: it has changed since the run" if other else ""
    yield Row("reference as kept", about, "the source's", "another's" if other else "the source's", not other, note)
    yield from _statistics(trained, anchor, moved.model)


def _transferred(trained: Trained) -> Transfer:
    """The source's parameters in a fresh network of the run's."""
    spec = trained.spec
    assert spec.source is not None
    return transfer(
        load(spec.source.path),
        into=build_model(spec.model, len(trained.classes), spec.preprocessing.channels),
        by=spec.source.by,
        rename=spec.source.rename,
        exclude=spec.source.exclude,
        coverage=spec.source.coverage,
        source_classes=read_classes(spec.source.classes),
        target_classes=trained.classes,
    )


def _differing(one: Anchor, other: Anchor) -> list[str]:
    """The names of what two anchors do not hold alike; new rows of a reference are not read."""
    found = sorted(one.references.keys() ^ other.references.keys() | one.new.keys() ^ other.new.keys())
    for name, value in one.references.items():
        if name in other.references:
            new, also = one.new.get(name), other.new.get(name)
            keep = slice(None) if new is None else ~new
            same_rows = new is also or (new is not None and also is not None and torch.equal(new, also))
            if not same_rows or not torch.equal(value[keep], other.references[name][keep]):
                found.append(name)
    return list(dict.fromkeys(found))


def _statistics(trained: Trained, anchor: Anchor, source: nn.Module) -> Iterator[Row]:
    ours, theirs, policy = norm_layers(trained.model), norm_layers(source), trained.spec.batchnorm
    said = SAID[policy] if trained.spec.train.epochs else "stay"  # without a step nothing moves them
    for name in anchor.norms:
        pairs = zip(ours[name].buffers(), theirs[name].buffers(), strict=True)
        measured = "stay" if all(torch.equal(one, other) for one, other in pairs) else "move"
        passed = measured == said
        note = "" if passed else f"batchnorm = {policy!r} in the spec, and in `model.safetensors` they {measured}"
        yield Row("batchnorm as kept", name, said, measured, passed, note)


def _outcome_rows(leash: Tether | TetherError, trained: Trained, outcome: Mapping[str, Any]) -> Iterator[Row]:
    """What may not move has not, and what pulls has pulled in every step."""
    if isinstance(leash, TetherError):
        yield _unknown("acted", "all steps", leash)
        return
    frozen = [part for part in leash.parts if isinstance(part.pull.penalty, Frozen) and not _set(part.name, trained)]
    if frozen:
        moved = [part.key for part in frozen if bool(part.displacement().any())]
        note = f"`model.safetensors` is not at the reference in {few(moved)}" if moved else ""
        yield Row(
            "frozen as kept", counted(len(frozen), "parameter"), "0 moved", f"{len(moved)} moved", not moved, note
        )
    spared = all(isinstance(part.pull.penalty, Frozen) and part.rows is None for part in leash.parts)  # no gradient
    yield _acted(outcome, none=spared, gathered=_is_gathered(leash, trained))


def _untrained(job: Job, trained: Trained) -> Row:
    built, kept = job.model.state_dict(), trained.model.state_dict()
    moved = [name for name, value in kept.items() if not _is_alike(built[name].cpu(), value)]
    note = f"no step was made, and `model.safetensors` is not as the spec builds it in {few(moved)}" if moved else ""
    return Row("as built", counted(len(kept), "tensor"), "0 moved", f"{len(moved)} moved", not moved, note)


def _is_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are equal but for the last digits of a probe, which another machine may round otherwise."""
    if not one.is_floating_point():
        return torch.equal(one, other)
    return bool((one - other).abs().max() <= ROUNDED * other.abs().max()) if one.numel() else True


def _set(name: str, trained: Trained) -> bool:
    """Whether a parameter is one of a head that starts at a probe, and so never was at its reference."""
    source = trained.spec.source
    if source is None or source.head != "probe":
        return False
    return name.rpartition(".")[0] == classifier_name(trained.model)


def _acted(outcome: Mapping[str, Any], *, none: bool, gathered: bool) -> Row:
    steps, acted = outcome.get("steps"), outcome.get("steps_acted")
    if steps is None or acted is None:
        return Row("acted", "all steps", "–", "–", None, "`outcome.json` does not say in how many steps it acted")
    least = 0 if none else 1 if gathered else steps  # what is gathered last may be too little to be delivered
    most = 0 if none else steps
    passed = min(least, most) <= acted <= most
    note = "" if passed else f"`outcome.json`: the penalty acted on {acted} of {steps} steps"
    expected = f"{most}" if least >= most else f"{least} to {most}"
    return Row("acted", counted(steps, "step"), expected, f"{acted}", passed, note)


def _is_gathered(leash: Tether, trained: Trained) -> bool:
    leash.attach(make_optimizer(trained.spec.optimizer, trained.model))
    assert leash.attachment is not None
    every = leash.attachment.gathering.every
    leash.detach()
    return max(every.values(), default=1) > 1


def _live(job: Job | TetherError, trained: Trained) -> Iterator[Row]:
    """The audit of the run's first step; of a run without one, whether its model is as its spec builds it."""
    if isinstance(job, TetherError):
        yield _unknown("pull delivered", "the first step", job)
        return
    if not job.steps:
        yield Row("pull delivered", "the first step", "–", "–", None, "the run makes no step, and so nothing pulls")
        yield _untrained(job, trained)
        return
    job.train_mode()
    optimizer = make_optimizer(job.spec.optimizer, job.model)
    job.leash.attach(optimizer)
    batch = next(iter(job.task.batches(0)))
    yield from audit(job.leash, optimizer, batch, batchnorm=job.spec.batchnorm).rows

"""audit: the pull that each parameter really gets in one step, held against the plan."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from tether.audit.delivery import put
from tether.audit.laws import displacement, laws
from tether.audit.objective import Batch, Call, Gradients, Loss, OwnTerms, gradients, objective, own_terms
from tether.audit.pull import reference
from tether.audit.pulls import deliver, pulls
from tether.audit.result import Audit, Row
from tether.audit.resume import resume, unresumed
from tether.audit.snapshot import unchanged
from tether.audit.standing import peak, standing
from tether.audit.statistics import SAID, BatchNorm, Statistics
from tether.audit.still import Still
from tether.binding import Tether
from tether.errors import AttachError, Diverged, SettingsError
from tether.guard import few
from tether.held import Held
from tether.membership import DECAYS
from tether.params.shards import sharded
from tether.unwrap import unwrap

SEED = 0


def audit(
    leash: Tether,
    optimizer: Any,
    batch: Batch,
    *,
    loss: Loss = functional.cross_entropy,
    batchnorm: BatchNorm = "source",
    scaler: Any = None,
) -> Audit:
    r"""Take real steps, measure each pull as it is delivered, and put everything back bit for bit.

    Each held weight is put to reference + δ, with δ as large as the weight, so that any pull shows. By gradient the
    measured pull is what the tether adds to `.grad`, against ∇Ω(δ) in float64; by prox it is how far the weights go
    after the optimiser's own update, against reference + prox(w − reference) − w. A gathered pull is measured over as
    many steps as it takes. Rates are taken at their peak.

    Args:
        leash: the tether, attached to `optimizer` as it trains.
        optimizer: the optimiser that trains.
        batch: inputs and targets, or a function that returns the loss of one batch.
        loss: of the model's outputs and the targets.
        batchnorm: what the running statistics of the source's layers are meant to do.
        scaler: the `GradScaler` that the loop steps through, if it does.

    Raises:
        SettingsError: the batch, the loss or the policy is none.
        AttachError: the optimiser is none of torch's, or the parameters are sharded.
        Diverged: the gradient of the batch is not finite.

    >>> from tether.anchor import Anchor
    >>> from tether.penalties.presets import l2_sp
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    >>> leash = Tether(model, Anchor.of(model, new="1.*"), l2_sp())
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> _ = leash.attach(optimizer)
    >>> audit(leash, optimizer, (torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))).passed
    True

    """
    optimizer = unwrap(optimizer)
    _refuse(leash, batchnorm)
    call = objective(leash.model, batch, loss)
    with unchanged(leash, optimizer, scaler):
        rows = (*standing(leash, optimizer), *_laws(leash), *_step(leash, optimizer, call, batchnorm, scaler))
    return Audit(str(leash.plan), (*rows, *_reached(rows)))


def _reached(rows: Sequence[Row]) -> Iterator[Row]:
    """An audit that measured no pull has shown nothing, where the batch's own loss is why."""
    made = [row for row in rows if row.check == "pull delivered"]
    if made and all(row.passed is None and "no gradient" in row.note for row in made):
        why = "no held parameter has a gradient in this batch: its loss is of another model, or carries none"
        yield Row("pulls measured", "the batch", "> 0", "0", False, why)


def _refuse(leash: Tether, batchnorm: BatchNorm) -> None:
    if batchnorm not in SAID:
        raise SettingsError(
            f"`batchnorm={batchnorm!r}`",
            why="running statistics are the source's, or are updated",
            fix='batchnorm="source" or batchnorm="update"',
        )
    parts = [name for name, p in leash.parameters.items() if sharded(p)]
    if parts:
        raise AttachError(
            f"{len(parts)} parameters are sharded: {few(parts)}",
            why="an audit measures whole tensors",
            fix="audit the same loop in one process, before `fully_shard`",
        )


def _laws(leash: Tether) -> Iterator[Row]:
    generator = torch.Generator().manual_seed(SEED)
    via = leash.attachment.via if leash.attachment else leash.plan.via
    for part in leash.parts:
        yield from laws(part, via, generator)


def _step(leash: Tether, optimizer: Optimizer, call: Call, batchnorm: BatchNorm, scaler: Any) -> Iterator[Row]:
    _settle(optimizer)
    trained, statistics, still = _trained(leash, optimizer), Statistics(leash), Still(leash)
    found = gradients(call, trained, scaler)
    _refuse_divergence(found, scaler)
    yield from statistics.rows(batchnorm)
    places = _places(leash, optimizer, found)
    for part, place in places.items():
        put(part, place)
    own = own_terms(leash.model, call, trained)
    yield from _loss(leash, own, scaler)
    outcome = deliver(leash, optimizer, places, found, own, scaler)
    yield from pulls(leash, optimizer, found, outcome)
    yield from still.rows(leash)
    yield resume(leash, optimizer, found) if outcome.stepped else unresumed("no step was taken")


def _settle(optimizer: Optimizer) -> None:
    """Take the peak rates, as what is gathered does, and no decay of the optimiser's own, which has its own row."""
    for group in optimizer.param_groups:
        rate, lr = peak(group), group["lr"]
        group["lr"] = torch.full_like(lr, rate) if isinstance(lr, Tensor) else rate
        group |= {key: 0.0 for key in DECAYS if group.get(key)}


def _trained(leash: Tether, optimizer: Optimizer) -> list[nn.Parameter]:
    every = [*leash.model.parameters(), *leash.parameters.values()]
    every += [p for group in optimizer.param_groups for p in group["params"]]
    return [p for p in dict.fromkeys(every) if p.requires_grad]


def _refuse_divergence(found: Gradients, scaler: Any) -> None:
    if scaler is None:  # which would skip the step
        for grad in found.values():
            if not (grad.coalesce().values() if grad.is_sparse else grad).isfinite().all():
                raise Diverged(
                    "the gradient of this batch is not finite",
                    why="no pull can be measured beside it",
                    fix="audit on another batch, or with the scaler: leash.audit(…, scaler=scaler)",
                )


def _places(leash: Tether, optimizer: Optimizer, found: Gradients) -> dict[Held, Tensor]:
    """Where each part goes that has a gradient and a rate, so that its pull shows."""
    generator = torch.Generator().manual_seed(SEED)
    moving = {id(p) for group in optimizer.param_groups if peak(group) > 0 for p in group["params"]}
    parts = [part for part in leash.parts if part.parameter in found and id(part.parameter) in moving]
    return {part: (reference(part) + displacement(part, generator)).to(part.parameter.dtype) for part in parts}


def _loss(leash: Tether, own: OwnTerms, scaler: Any) -> Iterator[Row]:
    """What the loss adds by itself; where no optimiser is attached, that is how the plan acts."""
    if own.half:
        given = scaler is not None
        note = "" if given else "small gradients become zero: step through a GradScaler, and audit with scaler=scaler"
        yield Row("loss scaling", "float16", "a scaler", "given" if given else "none", given, note)
    held = {part.parameter: part.key for part in leash.parts}
    twice = [held[p] for p, grad in own.gradients.items() if p in held and bool(grad.any())]
    if not own.called:
        why = "the function does not call the model as a whole, so what it adds of its own is not known"
        yield Row("counted once", "the loss", "none", "–", None, why)
    elif leash.attachment is not None or not twice:
        note = f"it has a term of its own on {few(twice)}: take it out, the tether acts in the step" if twice else ""
        measured = f"a term on {len(twice)}" if twice else "none"
        yield Row("counted once", "the loss", "none", measured, not twice, note)

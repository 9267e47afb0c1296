"""Pulls: one row for each held part, on what of its pull arrived in a real step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tether.audit.delivery import Delivery
from tether.audit.objective import Gradients, OwnTerms
from tether.audit.pull import Measured, gradient_pull
from tether.audit.result import Row
from tether.binding import Tether
from tether.errors import TetherError
from tether.held import Held

CHECK, WHOLE = "pull delivered", "100 %"


@dataclass(frozen=True)
class Outcome:
    """What came of the step.

    Args:
        refusal: why the step was not made, where that is a fault.
        skipped: why the step was not made, where it is none.

    """

    measured: Mapping[Held, Measured] = field(default_factory=dict)
    refusal: str = ""
    skipped: str = ""

    @property
    def stepped(self) -> bool:
        """Whether there was a step."""
        return not (self.refusal or self.skipped)


def deliver(
    leash: Tether, optimizer: Optimizer, places: Mapping[Held, Tensor], found: Gradients, own: OwnTerms, scaler: Any
) -> Outcome:
    """Take the step; where no optimiser is attached, the pulls may come with the loss instead."""
    if leash.attachment is None and own.gradients:
        return Outcome({part: _by_loss(part, leash, own.gradients) for part in places if part.penalty.coupled})
    try:
        delivery = Delivery(leash, optimizer, places)
        measured = delivery.run(found, scaler)
    except TetherError as error:
        return Outcome(refusal=" · ".join(filter(None, (error.what, error.fix))))
    if delivery.skipped:
        return Outcome(skipped="the scaler skips this batch, whose gradient overflows: audit after some steps")
    return Outcome(measured)


def pulls(leash: Tether, optimizer: Optimizer, found: Gradients, outcome: Outcome) -> Iterator[Row]:
    """One row a part that is trained."""
    inside = {id(p) for group in optimizer.param_groups for p in group["params"]}
    cause = _cause(leash, optimizer)
    for part in leash.parts:
        if not part.parameter.requires_grad:
            continue
        if id(part.parameter) not in inside:
            yield Row(CHECK, part.key, WHOLE, "0 %", False, "it is in no group of this optimiser")
        elif part.parameter not in found:
            yield _unknown(part, "it has no gradient in this batch, so it is neither stepped nor pulled")
        elif outcome.refusal:
            yield Row(CHECK, part.key, WHOLE, "0 %", False, f"the step is refused: {outcome.refusal}")
        elif outcome.skipped:
            yield _unknown(part, outcome.skipped)
        elif part not in outcome.measured:
            yield _unknown(part, "the rate of its group is zero")
        else:
            yield _row(outcome.measured[part], cause)


def _row(pull: Measured, cause: str) -> Row:
    if pull.expected == 0:
        why = "the plan pulls nothing here: the schedule's factor or the importance is zero"
        return Row(CHECK, pull.part.key, "0", f"{pull.measured:.3g}", None, why)
    note = "" if pull.passed else cause if cause and pull.measured == 0 else pull.fault
    return Row(CHECK, pull.part.key, WHOLE, f"{100 * pull.share:.0f} %", pull.passed, note)


def _unknown(part: Held, why: str) -> Row:
    return Row(CHECK, part.key, WHOLE, "–", None, why)


def _cause(leash: Tether, optimizer: Optimizer) -> str:
    """What is known of why nothing would arrive."""
    attachment = leash.attachment
    if attachment is None:
        return "the tether is attached to no optimiser: leash.attach(optimizer)"
    if attachment.optimizer() is not optimizer:
        return "the tether is attached to another optimiser: leash.detach(), then leash.attach(optimizer)"
    return "this optimiser has lost the tether's hooks: leash.attach(optimizer) again" if attachment.lost else ""


def _by_loss(part: Held, leash: Tether, gradients: Gradients) -> Measured:
    factor = part.pull.schedule.factor(leash.steps_seen)
    grad = gradients.get(part.parameter, torch.zeros_like(part.parameter))
    return Measured.of_gradient(part, gradient_pull(part, factor), torch.zeros_like(grad), grad)

"""Standing: what can be seen before any step, of the model, the plan, the references and the optimiser."""

from collections.abc import Iterator

import torch
from torch.optim import Optimizer

from tether.audit.result import Row, counted
from tether.binding import Tether
from tether.errors import TetherError
from tether.guard import few
from tether.held import Held
from tether.membership import DECAYS, Group
from tether.params.select import parameters
from tether.penalties.frozen import Frozen
from tether.penalties.pull import Pull
from tether.references import References


def standing(leash: Tether, optimizer: Optimizer) -> Iterator[Row]:
    """Every check that needs no batch."""
    yield _same_parameters(leash)
    yield from _strength(leash)
    yield from _references(leash)
    yield from _trained(leash)
    for number, group in enumerate(optimizer.param_groups):
        held = [part for part in leash.parts if any(part.parameter is p for p in group["params"])]
        if held:
            yield _rate(number, group)
            yield _decay(number, group, held)


def peak(group: Group) -> float:
    """The largest rate that a group is to have, where a schedule says so."""
    return max(float(group[key]) for key in ("lr", "initial_lr", "max_lr") if group.get(key) is not None)


def _same_parameters(leash: Tether) -> Row:
    now = parameters(leash.model)
    gone = [name for name, p in leash.parameters.items() if now.get(name) is not p]
    strange = [name for name in now if name not in leash.parameters]
    note = ""
    if gone or strange:
        note = (
            f"{few([*gone, *strange])}: other parameters than when the tether was made; make it after the last change"
        )
    count = len(leash.parameters)
    return Row("same parameters", counted(count, "parameter"), f"{count}", f"{count - len(gone)}", not note, note)


def _strength(leash: Tether) -> Iterator[Row]:
    plan = leash.plan
    for where, entry in (("transferred", plan.transferred), ("new", plan.new), *plan.overrides.items()):
        if entry is None:
            continue
        penalty = entry.penalty if isinstance(entry, Pull) else entry
        if not penalty.null:
            yield Row("strength", where, "> 0", f"{penalty!r}", True)
        elif leash.parts:
            yield Row("strength", where, "> 0", f"{penalty!r}", None, "its strength is zero: it pulls nothing")
        else:
            yield Row(
                "strength", where, "> 0", f"{penalty!r}", False, "nothing is held: give a strength, or plan `none`"
            )


def _references(leash: Tether) -> Iterator[Row]:
    try:
        leash.references.verify()
    except TetherError as error:
        yield Row("reference", "the source's file", "as it was", "changed", False, _said(error))
    again = References(leash.anchor)
    for part in leash.parts:
        if part.reference is not None:
            note = _reference_fault(part, again)
            yield Row("reference", part.key, part.pull.target, "another" if note else part.pull.target, not note, note)


def _reference_fault(part: Held, again: References) -> str:
    assert part.reference is not None
    try:
        found = again.find(part.pull, part.name, part.parameter, part.role)
    except TetherError as error:
        return _said(error)
    assert found is not None
    storage = part.parameter.detach().untyped_storage().data_ptr()
    if found.numel() and storage in (found.untyped_storage().data_ptr(), part.reference.untyped_storage().data_ptr()):
        return "it is the parameter's own memory and moves with it: give the anchor a copy, p.detach().clone()"
    if not torch.equal(part.of_rows(found.to(part.parameter)), part.reference.to(part.parameter)):
        return f"what is pulled to is no longer what `{part.pull.target}` holds: make the tether anew"
    return ""


def _trained(leash: Tether) -> Iterator[Row]:
    for part in leash.parts:
        if part.parameter.requires_grad or isinstance(part.pull.penalty, Frozen):
            continue
        when = "before" if part.name in leash.frozen else "after"
        note = f"frozen {when} the tether was made, and so not pulled"
        note += "" if when == "before" else f": overrides={{{part.name!r}: None}}, or Frozen() to hold it"
        yield Row("trained", part.key, "yes", "frozen", None if when == "before" else False, note)


def _rate(number: int, group: Group) -> Row:
    rate = peak(group)
    note = "" if rate > 0 else "nothing moves, and no pull acts: give it a rate, or take the group out"
    return Row("rate", f"group {number}", "> 0", f"{rate:g}", rate > 0, note)


def _decay(number: int, group: Group, held: list[Held]) -> Row:
    found = {key: group[key] for key in DECAYS if group.get(key)}
    said = ", ".join(f"{key}={value:g}" for key, value in found.items())
    note = f"it pulls {few([part.key for part in held])} to zero beside the plan: set it to 0" if found else ""
    return Row("counted once", f"the decay of group {number}", "none", said or "none", not found, note)


def _said(error: TetherError) -> str:
    return " · ".join(filter(None, (error.what, error.why, error.fix)))

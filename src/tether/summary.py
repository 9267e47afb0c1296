"""The screen that a tether prints: what is held, how far it has moved, and that the penalty acted."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from tether.guard import few
from tether.held import Held
from tether.penalties.schedule import CONSTANT

if TYPE_CHECKING:
    from tether.binding import Tether

MOST_PARTS = 12


def summarise(leash: "Tether") -> str:
    """One readable screen."""
    attached = leash.attachment
    way = f"by {attached.via}" if attached else f"by {leash.plan.via}, not attached"
    way += " in the optimiser's metric" if attached and attached.metric == "optimizer" else ""
    way += ", and its optimiser is gone or has lost its hooks" if attached and attached.lost else ""
    title = leash.plan.says
    lines = [f"tether: {title} · {way}", *_held(leash.parts)]
    lines += _by_part(leash)
    lines += _free(leash)
    lines.append(_references(leash))
    if attached and attached.metric == "identity":
        slow = {k for part, k in attached.gathering.every.items() if k > 1}
        if slow:
            lines.append(
                f"gathered: a pull this small rounds to nothing in one step, so it acts every {max(slow)} steps"
            )
    lines += [f"replaced: {sentence}" for sentence in attached.replaced] if attached else []
    with torch.no_grad():
        omega = sum(part.pull.schedule.factor(leash.steps_seen) * float(part.value()) for part in leash.parts)
    lines.append(f"{leash.acted_on}; Ω = {omega:.4g}")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns aligned, the first to the left and the others to the right.

    >>> table([["", "values"], ["new", "10"]])
    ['     values', 'new      10']
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join([first, *rest]).rstrip())
    return lines


def _held(parts: Iterable[Held]) -> list[str]:
    groups: dict[tuple[str, str, str], list[Held]] = {}
    for part in parts:
        later = "" if part.pull.schedule == CONSTANT else f" × {part.pull.schedule}"
        groups.setdefault((part.role, part.pull.target, f"{part.penalty!r}{later}"), []).append(part)
    if not groups:
        return ["nothing is held"]
    rows = [["held", "tensors", "values", "to", "penalty", "moved ‖δ‖", "of ‖reference‖"]]
    for (role, reference, penalty), members in groups.items():
        values = sum(part.weight().numel() for part in members)
        moved, size = _norm(part.displacement() for part in members), _norm(_reference(part) for part in members)
        share = f"{100 * moved / size:.2f} %" if size else "–"
        rows.append([role, f"{len(members)}", f"{values:,}", reference, penalty, f"{moved:.4g}", share])
    return table(rows)


def _by_part(leash: "Tether") -> list[str]:
    moved = [(name, leash.anchor.references[name]) for name in leash.roles if name in leash.anchor.references]
    if not moved:
        return []
    depth = 1
    while depth < 4 and len({_part(name, depth + 1) for name, _ in moved}) <= MOST_PARTS:
        depth += 1
    sums: dict[str, list[float]] = {}
    for name, reference in moved:
        weight = leash.parameters[name].detach().float()
        keep = slice(None) if leash.anchor.new.get(name) is None else ~leash.anchor.new[name]  # type: ignore[operator]
        delta, base = (weight.cpu() - reference.float().cpu())[keep], reference.float().cpu()[keep]
        entry = sums.setdefault(_part(name, depth), [0.0, 0.0])
        entry[0] += float(delta.square().sum())
        entry[1] += float(base.square().sum())
    shares = [f"{part} {100 * (d / b) ** 0.5:.2f} %" if b else f"{part} {d**0.5:.3g}" for part, (d, b) in sums.items()]
    more = f" · and {len(shares) - MOST_PARTS} more" if len(shares) > MOST_PARTS else ""
    return ["moved from the source, by part: " + " · ".join(shares[:MOST_PARTS]) + more]


def _part(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:-1][:depth]) or name


def _free(leash: "Tether") -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in leash.free.items():
        reasons.setdefault(reason, []).append(name)
    for part in leash.parts:
        if not part.parameter.requires_grad:
            reasons.setdefault("frozen, and so without a pull", []).append(part.name)
    return [f"not held: {len(names)} {reason}: {few(names)}" for reason, names in reasons.items()]


def _references(leash: "Tether") -> str:
    moved = {part.name for part in leash.parts if part.reference is not None and part.copied}
    mapped = leash.anchor.mapped - moved
    copied = {name: value for name, value in leash.anchor.references.items() if name not in mapped}
    size = sum(value.numel() * value.element_size() for value in copied.values()) / 1e6
    return f"references: {len(mapped)} mapped from file, {len(copied)} copied ({size:.1f} MB)"


def _reference(part: Held) -> torch.Tensor:
    reference = part.aligned()
    return torch.zeros(()) if reference is None else reference


def _norm(tensors: Iterable[torch.Tensor]) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(t.detach().float())) for t in tensors))

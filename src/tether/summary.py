"""The screen that a tether prints: what is held, how far it has moved, and that the penalty acted."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from tether.escaping import printable, terminal
from tether.guard import few
from tether.held import Held
from tether.params.shards import local, sharded
from tether.penalties.schedule import CONSTANT
from tether.sharding import cut, cut_rows, parted_batches, total

if TYPE_CHECKING:
    from tether.binding import Tether

MOST_PARTS = 12


def summarise(leash: "Tether") -> str:
    """One readable screen."""
    attached = leash.attachment
    way = f"by {attached.via}" if attached else f"by {leash.plan.via}, not attached"
    way += " in the optimiser's metric" if attached and attached.metric == "optimizer" else ""
    way += ", and its optimiser is gone or has lost its hooks" if attached and attached.lost else ""
    title = printable(leash.plan.says)
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
    lines += [apart] if (apart := parted_batches(leash.model)) else []
    with torch.no_grad():
        factors = ((part, part.pull.schedule.factor(leash.steps_seen)) for part in leash.parts)
        omega = total((factor * part.share(), part.parameter) for part, factor in factors)
    lines.append(f"{leash.acted_on}; Ω = {float(omega):.4g}")
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
        values = sum(part.numel for part in members)
        moved = _norm((part.displacement(), part.parameter) for part in members)
        size = _norm((source, part.parameter) for part in members if (source := part.aligned()) is not None)
        share = f"{100 * moved / size:.2f} %" if size else "–"
        rows.append([role, f"{len(members)}", f"{values:,}", reference, penalty, f"{moved:.4g}", share])
    return table(rows)


def _by_part(leash: "Tether") -> list[str]:
    moved = [name for name in leash.roles if name in leash.anchor.references]
    if not moved:
        return []
    depth = 1
    while depth < 4 and len({_part(name, depth + 1) for name in moved}) <= MOST_PARTS:
        depth += 1
    members: dict[str, list[str]] = {}
    for name in moved:
        members.setdefault(_part(name, depth), []).append(name)
    shares = [_share(leash, part, names) for part, names in list(members.items())[:MOST_PARTS]]
    more = f" · and {len(members) - MOST_PARTS} more" if len(members) > MOST_PARTS else ""
    return ["moved from the source, by part: " + " · ".join(shares) + more]


def _share(leash: "Tether", part: str, names: Sequence[str]) -> str:
    moved = _norm((_displacement(leash, name), leash.parameters[name]) for name in names)
    size = _norm((_source(leash, name), leash.parameters[name]) for name in names)
    return f"{terminal(part)} {100 * moved / size:.2f} %" if size else f"{terminal(part)} {moved:.3g}"


def _displacement(leash: "Tether", name: str) -> torch.Tensor:
    reference = _source(leash, name)
    return _transferred(leash, name, local(leash.parameters[name].detach()).float().to(reference.device)) - reference


def _source(leash: "Tether", name: str) -> torch.Tensor:
    return _transferred(leash, name, cut(leash.anchor.references[name], leash.parameters[name]).float())


def _transferred(leash: "Tether", name: str, values: torch.Tensor) -> torch.Tensor:
    """Of what this process has of a parameter, the rows that come from the source."""
    mask = leash.anchor.new.get(name)
    return values if mask is None else values[~cut_rows(mask, leash.parameters[name]).to(values.device)]


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
    mapped = {name for name in leash.anchor.mapped - moved if not sharded(leash.parameters[name])}
    copied = {name: value for name, value in leash.anchor.references.items() if name not in mapped}
    size = sum(value.numel() * value.element_size() for value in copied.values()) / 1e6
    return f"references: {len(mapped)} mapped from file, {len(copied)} copied ({size:.1f} MB)"


def _norm(values: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """The norm of values, each of what this process has of the parameter beside it, over all processes."""
    norms = ((torch.linalg.vector_norm(v.detach().float()).to(p.device), p) for v, p in values)
    return math.sqrt(float(total((norm.square(), p) for norm, p in norms)))

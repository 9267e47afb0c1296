"""Pair a source checkpoint with a target model: `match`, which changes nothing."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tether.checkpoint.checkpoint import Checkpoint
from tether.errors import CoverageTooLow, MatchError, SettingsError
from tether.escaping import terminal
from tether.matching.fate import Miss, Pair, decide
from tether.matching.finite import require_finite
from tether.matching.head import Head
from tether.matching.order import pair_in_order
from tether.matching.rename import Rename, pair_names
from tether.matching.result import By, Match, listed
from tether.matching.slots import Norm, Slot, norms, slots
from tether.params.select import select

__all__ = ["By", "Match", "Miss", "Pair", "match"]


def match(
    source: Checkpoint,
    model: nn.Module,
    *,
    by: By = "name",
    rename: Sequence[tuple[str, str]] = (),
    exclude: Sequence[str] = (),
    coverage: float = 0.5,
    source_classes: Sequence[str] | None = None,
    target_classes: Sequence[str] | None = None,
    head: str | None = None,
) -> Match:
    r"""Pair the tensors of `source` with those of `model`, and change nothing.

    With `target_classes` the classifier is paired row by row, by class name; without them names and shapes decide.

    Args:
        by: `name`, after `rename`; or `order`, where shapes and the last components of the names agree one for one.
        rename: regular expressions and replacements, applied to the source's names.
        exclude: globs of target tensors that stay as they are.
        coverage: the least share of the model's values that must be copied.
        source_classes: names of the source head's rows; the checkpoint's own when not given.
        head: the module that is the classifier, where it is not found by itself.

    Raises:
        CoverageTooLow: less than `coverage`, or nothing at all, would be copied.
        MatchError: a rename, a class list, the head or the order does not fit, or a value is not finite.
        NoParameterSelected: a glob of `exclude` matches nothing.
        SettingsError: an argument is out of range, or has no meaning without another.

    >>> from tether.checkpoint.resolve import load
    >>> print(match(load(nn.Linear(3, 2)), nn.Linear(3, 2)))
    source: ..., paired by name
    2 copied: 2 parameters and 0 buffers, 8 of 8 values (100.0%)
    """
    _check_arguments(by, rename, coverage, target_classes, {"source_classes": source_classes, "head": head})
    names = slots(model)
    theirs = source.classes if source_classes is None else source_classes
    top = Head.of(model, names, module=head, target_classes=target_classes, source_classes=theirs)
    excluded = _excluded(exclude, names)
    paired, renames = _paired(source, names, by, rename, top)
    taken, ties = _taken(paired, names, source.tensors)
    fates = []
    for slot in dict.fromkeys(names.values()):
        name = taken.get(slot.name)
        value = None if name is None else source.tensors[name]
        fates.append(decide(slot, name, value, excluded=excluded, head=top))
    found = _summed(source, fates, by=by, gate=coverage, renames=renames, ties=ties, layers=norms(model, names))
    if not found.copied or found.coverage < coverage:
        raise _too_low(found, source, names, top)
    require_finite(found.pairs, source.tensors, source.origin)
    return found


def _check_arguments(
    by: str,
    rename: Sequence[tuple[str, str]],
    coverage: float,
    target_classes: Sequence[str] | None,
    about_head: Mapping[str, object],
) -> None:
    if by not in ("name", "order"):
        raise SettingsError(
            f"`by={by!r}` is no way of pairing",
            why="tensors are paired by what they are called or by where they stand",
            fix="it is `name` or `order`",
        )
    if by == "order" and rename:
        raise SettingsError(
            "`rename` has no meaning where tensors are paired in order",
            why="in order, only the last component of a name is read",
            fix="leave it out, or pair by name",
        )
    if not 0 <= coverage <= 1:
        raise SettingsError(
            f"`coverage={coverage}` is not a share",
            why="it is the least part of the model's values that must be copied",
            fix="give a number from 0 to 1, such as 0.5",
        )
    idle = [name for name, value in about_head.items() if value is not None]
    if idle and target_classes is None:
        raise SettingsError(
            f"`{idle[0]}` has no meaning without `target_classes`",
            why="rows of a head are matched by class name, so both sides must be known",
            fix="give `target_classes` too",
        )


def _excluded(exclude: Sequence[str], names: Mapping[str, Slot]) -> set[str]:
    aliases: dict[str, list[str]] = {}
    for name, slot in names.items():
        aliases.setdefault(slot.name, []).append(name)
    return {name for glob in exclude for name in select(glob, aliases, argument="exclude")}


def _paired(
    source: Checkpoint, names: Mapping[str, Slot], by: By, rename: Sequence[tuple[str, str]], head: Head
) -> tuple[dict[str, str], tuple[Rename, ...]]:
    if by == "name":
        return pair_names(source.tensors, names, rename)
    _refuse_sorted(source)
    return pair_in_order(source.tensors, names, head=head.parameters), ()


def _refuse_sorted(source: Checkpoint) -> None:
    if "safetensors" in source.format:
        raise MatchError(
            f"`{source.origin}` cannot be paired in order",
            why="a safetensors file keeps its tensors sorted, not in the order of the model they came from",
            fix="pair by name, with --rename REGEX=REPLACEMENT where the names differ",
        )


def _taken(
    paired: Mapping[str, str], names: Mapping[str, Slot], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, str], dict[str, bool]]:
    """One source name for each slot, and for every further one of a tied slot whether it holds the same values."""
    taken: dict[str, str] = {}
    ties: dict[str, bool] = {}
    for target in names:
        if target not in paired:
            continue
        name = paired[target]
        first = taken.setdefault(names[target].name, name)
        if first != name:
            ties[name] = _same(tensors[first], tensors[name])
    return taken, ties


def _same(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)


def _summed(
    source: Checkpoint,
    fates: Sequence[Pair | Miss],
    *,
    by: By,
    gate: float,
    renames: tuple[Rename, ...],
    ties: Mapping[str, bool],
    layers: Iterable[Norm],
) -> Match:
    pairs = tuple(fate for fate in fates if isinstance(fate, Pair))
    used = {pair.source for pair in pairs} | {name for name, same in ties.items() if same}
    copied = {pair.target for pair in pairs}
    whole = tuple(norm.name for norm in layers if copied.issuperset(norm.statistics))
    cut = [norm.name for norm in layers if norm.name not in whole and not copied.isdisjoint(norm.weights)]
    return Match(
        source=source.origin,
        by=by,
        pairs=pairs,
        misses=tuple(fate for fate in fates if isinstance(fate, Miss)),
        unused=tuple(name for name in source.tensors if name not in used),
        values=sum(math.prod(fate.shape) for fate in fates if not fate.is_buffer),
        gate=gate,
        renames=renames,
        transferred_norms=whole,
        notes=_notes([name for name, same in ties.items() if not same], cut),
    )


def _notes(untied: Iterable[str], cut: Sequence[str]) -> tuple[str, ...]:
    notes = [
        f"`{terminal(name)}` of the source has values of its own, and the model ties it to a tensor before it"
        for name in untied
    ]
    if cut:
        notes.append(f"weights but not running statistics are copied of {listed(cut)}: these keep the model's own")
    return tuple(notes)


def _too_low(found: Match, source: Checkpoint, names: Mapping[str, Slot], head: Head) -> CoverageTooLow:
    kept = [miss for miss in found.misses if not miss.is_buffer]
    total = len(kept) + sum(not pair.is_buffer for pair in found.pairs)
    counts = ", ".join(f"{count} {reason}" for reason, count in Counter(miss.reason for miss in kept).items())
    gate = f"at least {found.gate:.0%}" if found.gate else "something"
    return CoverageTooLow(
        f"`{found.source}` fits {total - len(kept)} of the model's {total} parameters, {found.copied:,} of "
        f"{found.values:,} values ({found.coverage:.1%}); {gate} must fit",
        why=f"of those left, {counts}; the source has names like {_sample(source.tensors)}, the model {_sample(names)}",
        fix=_way_out(found, source, names, head),
    )


def _way_out(found: Match, source: Checkpoint, names: Mapping[str, Slot], head: Head) -> str:
    rename = "--rename REGEX=REPLACEMENT where only the names differ, or the variant of the model that the source is of"
    if found.coverage >= 0.01:
        rename += f", or --coverage {math.floor(found.coverage * 100) / 100} if no more is meant"
    if found.by == "order":
        return rename
    try:
        _refuse_sorted(source)
        paired = pair_in_order(source.tensors, names, head=head.parameters)
    except MatchError:
        return rename
    agree = sum(source.tensors[name].shape == names[target].tensor.shape for target, name in paired.items())
    others = f", the other {len(paired) - agree} are the head" if agree < len(paired) else ""
    return f"in order, {agree} of {len(paired)} agree in shape and leaf name{others}: --by order"


def _sample(names: Iterable[str]) -> str:
    return ", ".join(f"`{terminal(name)}`" for name in list(names)[:2])

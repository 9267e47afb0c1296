"""Transfer: a match carried out, and the anchor it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from tether.anchor import Anchor
from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.resolve import load
from tether.errors import MatchError
from tether.escaping import json_text, terminal
from tether.files import write_durably
from tether.matching.fate import Pair
from tether.matching.match import By, Match, match
from tether.matching.slots import slots
from tether.params.shards import sharded

if TYPE_CHECKING:
    from tether.binding import Tether
    from tether.penalties.plan import Plan


@dataclass(frozen=True, eq=False)
class Transfer:
    """A model with its source's parameters in it, how they were matched, and what they are held to."""

    match: Match
    anchor: Anchor
    model: nn.Module

    @property
    def transferred_norms(self) -> tuple[str, ...]:
        """The normalisation layers all of whose running statistics come from the source, by canonical name."""
        return self.match.transferred_norms

    def tether(self, plan: "Plan") -> "Tether":
        """Bind `plan` to the model: what was transferred is held to its source."""
        from tether.binding import Tether

        return Tether(self.model, self.anchor, plan)

    def write(self, path: Path | str) -> None:
        """Write the match as JSON, with one row a tensor of the model; `transfer.json` where `path` is a folder.

        Raises:
            InputError: the folder is missing or may not be written to.
            MachineError: the disk is full, read-only or broken.
        """
        path = Path(path)
        path = path / "transfer.json" if path.is_dir() else path
        write_durably(path, json_text(self.match.to_json(), indent=1) + "\n")

    def __str__(self) -> str:
        return f"{self.match}\n{self.anchor}"


def transfer(
    source: Checkpoint | str | Path | nn.Module | Mapping[str, Tensor],
    into: nn.Module,
    *,
    by: By | None = None,
    rename: Sequence[tuple[str, str]] = (),
    exclude: str | Sequence[str] = (),
    coverage: float = 0.5,
    source_classes: Sequence[str] | None = None,
    target_classes: Sequence[str] | None = None,
    head: str | None = None,
) -> Transfer:
    """Copy into a model what it shares with a source, in place, and keep the source's values as its anchor.

    Nothing is changed where anything is refused. The arguments are those of `match`.

    Args:
        source: a file, a run folder, a catalogued name, a model, a state dict, or a checkpoint that was loaded.
        by: `name` or `order`; as the catalogue says for this source when not given.

    Raises:
        CheckpointError: the source cannot be read.
        CoverageTooLow: less than `coverage`, or nothing at all, would be copied.
        MatchError: source and model do not fit, a value is too large for the model's dtype, or the model is sharded.
        NoParameterSelected: a glob of `exclude` matches nothing.
        SettingsError: an argument is out of range, or has no meaning without another.

    >>> source, model = nn.Linear(3, 2), nn.Linear(3, 2)
    >>> moved = transfer(source, into=model)
    >>> torch.equal(model.weight, source.weight), moved.match.coverage
    (True, 1.0)
    """
    checkpoint = source if isinstance(source, Checkpoint) else load(source)
    exclude = [exclude] if isinstance(exclude, str) else exclude
    found = match(
        checkpoint,
        into,
        by=by or checkpoint.by,
        rename=rename,
        exclude=exclude,
        coverage=coverage,
        source_classes=source_classes,
        target_classes=target_classes,
        head=head,
    )
    anchor = _carry_out(found, checkpoint, into)
    return Transfer(found, anchor, into)


@torch.no_grad()
def _carry_out(found: Match, source: Checkpoint, model: nn.Module) -> Anchor:
    """Make every value before the first is copied, so that a refusal leaves the model as it was."""
    if any(sharded(p) for p in model.parameters()):
        raise MatchError(
            "the model is sharded",
            why="each process holds a part of every tensor, and a source's would be copied as if it were whole",
            fix="transfer before `fully_shard`, and make the tether after it",
        )
    names = slots(model)
    mapped = {pair.target for pair in found.pairs if _stays_mapped(pair, source, names[pair.target].tensor)}
    values = {
        pair.target: source.tensors[pair.source]
        if pair.target in mapped
        else _fitted(pair, source.tensors[pair.source], names[pair.target].tensor)
        for pair in found.pairs
    }
    for name, value in values.items():
        names[name].tensor.copy_(value)
    masks = {pair.target: _new_rows(pair) for pair in found.pairs if pair.rows and len(pair.rows) < pair.shape[0]}
    return Anchor(
        references={pair.target: values[pair.target] for pair in found.pairs if not pair.is_buffer},
        new=dict.fromkeys(found.new) | masks,
        norms=found.transferred_norms,
        mapped=frozenset(mapped),
        files=source.files if mapped else {},
    )


def _stays_mapped(pair: Pair, source: Checkpoint, into: Tensor) -> bool:
    whole = pair.rows is None and pair.cast is None and not pair.is_buffer
    return source.mapped and whole and into.device.type == "cpu"


def _fitted(pair: Pair, value: Shaped[Tensor, "..."], into: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Return `value` as a copy of the target's shape, dtype and device; new rows are the target's own."""
    cast = value.detach().to(into.device, into.dtype, copy=True)
    if pair.cast and not torch.equal(cast.isfinite(), value.isfinite().to(into.device)):
        raise MatchError(
            f"`{terminal(pair.source)}` of the source has values that {pair.cast} makes infinite",
            why="a value beyond the largest of the model's dtype would train to nothing but NaN",
            fix=f"build the model in a wider dtype, or leave it out: --exclude {pair.target}",
        )
    if pair.rows is None:
        return cast
    ours, theirs = (list(side) for side in zip(*pair.rows, strict=True))
    fitted = into.detach().clone()
    fitted[ours] = cast[theirs]
    return fitted


def _new_rows(pair: Pair) -> Tensor:
    mask = torch.ones(pair.shape[0], dtype=torch.bool)
    mask[[row for row, _ in pair.rows or ()]] = False
    return mask

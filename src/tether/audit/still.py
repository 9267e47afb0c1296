"""Still: the parameters that may not move, before and after the steps."""

from collections.abc import Iterator

import torch

from tether.audit.result import Row, counted
from tether.binding import Tether
from tether.guard import few
from tether.penalties.frozen import Frozen


class Still:
    """The frozen parameters of a tethered model, as they were."""

    def __init__(self, leash: Tether) -> None:
        self.before = {name: p.detach().clone() for name, p in leash.parameters.items() if not p.requires_grad}
        frozen = [part for part in leash.parts if isinstance(part.pull.penalty, Frozen)]
        spared = [part for part in frozen if not part.parameter.requires_grad]
        self.off = [part.key for part in spared if bool(part.displacement().any())]

    def rows(self, leash: Tether) -> Iterator[Row]:
        """One row, after the steps, where anything is frozen."""
        if not self.before:
            return
        moved = [name for name, was in self.before.items() if not torch.equal(leash.parameters[name].detach(), was)]
        note = ""
        if moved:
            note = (
                f"{few(moved)} moved: zero_grad(set_to_none=False) leaves it a `.grad`, so that the optimiser steps it"
            )
        elif self.off:
            note = f"{few(self.off)} moved before: it is not at the reference that it is frozen to"
        count = len(moved) or len(self.off)
        yield Row("frozen", counted(len(self.before), "parameter"), "0 moved", f"{count} moved", not note, note)

"""Drift: how far each transferred parameter has moved from its source."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.ball import MarsBall
from tether.roles import displacement

UNIT = MarsBall(1.0)


@dataclass(frozen=True)
class Drift:
    """The displacement of one parameter's transferred values.

    Args:
        values: how many they are.
        norm: ‖δ‖, over all of them.
        reference: ‖w0‖, of the source's values.
        relative: ‖δ‖ / ‖w0‖; none where the source's values are all zero.
        mars: max_i Σ_j |δ_ij|, the maximum absolute row sum (Gouk, Hospedales and Pontil, 2021).
    """

    name: str
    values: int
    norm: float
    reference: float
    relative: float | None
    mars: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for `drift.json`."""
        return asdict(self)


@torch.no_grad()
def drifts(leash: Tether) -> list[Drift]:
    """Of every parameter with transferred values, held or not, in the model's order."""
    found = []
    for name, parameter in leash.parameters.items():
        delta = displacement(name, parameter, leash.anchor, "transferred")
        if delta is not None and delta.numel():
            found.append(_drift(name, delta.double(), _reference(name, leash.anchor).double()))
    return found


def _drift(name: str, delta: Tensor, reference: Tensor) -> Drift:
    norm, length = (float(torch.linalg.vector_norm(tensor)) for tensor in (delta, reference))
    return Drift(name, delta.numel(), norm, length, norm / length if length else None, float(UNIT.norm(delta)))


def _reference(name: str, anchor: Anchor) -> Tensor:
    whole, new = anchor.references[name], anchor.new.get(name)
    return whole if new is None else whole[~new.to(whole.device)]

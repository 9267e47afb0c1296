"""Tether holds a fine-tuned model to what its source model knew."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "L1",
    "L2",
    "Anchor",
    "Frozen",
    "GroupLasso",
    "Match",
    "Penalty",
    "Plan",
    "Pull",
    "RunRecord",
    "RunSpec",
    "Tether",
    "TetherError",
    "Transfer",
    "differential_l2",
    "fit",
    "frozen",
    "l1_sp",
    "l2",
    "l2_sp",
    "match",
    "none",
    "predict",
    "transfer",
]

_HOMES = {
    "L1": "penalties.l1",
    "L2": "penalties.l2",
    "Anchor": "anchor",
    "Frozen": "penalties.frozen",
    "GroupLasso": "penalties.group",
    "Match": "matching.match",
    "Penalty": "penalties.base",
    "Plan": "penalties.plan",
    "Pull": "penalties.pull",
    "RunRecord": "record",
    "RunSpec": "spec",
    "Tether": "binding",
    "TetherError": "errors",
    "Transfer": "matching.transfer",
    "differential_l2": "penalties.presets",
    "fit": "engine.loop",
    "frozen": "penalties.presets",
    "l1_sp": "penalties.presets",
    "l2": "penalties.presets",
    "l2_sp": "penalties.presets",
    "match": "matching.match",
    "none": "penalties.presets",
    "predict": "engine.predict",
    "transfer": "matching.transfer",
}

if TYPE_CHECKING:
    from tether.anchor import Anchor
    from tether.binding import Tether
    from tether.engine.loop import fit
    from tether.engine.predict import predict
    from tether.errors import TetherError
    from tether.matching.match import Match, match
    from tether.matching.transfer import Transfer, transfer
    from tether.penalties.base import Penalty
    from tether.penalties.frozen import Frozen
    from tether.penalties.group import GroupLasso
    from tether.penalties.l1 import L1
    from tether.penalties.l2 import L2
    from tether.penalties.plan import Plan
    from tether.penalties.presets import differential_l2, frozen, l1_sp, l2, l2_sp, none
    from tether.penalties.pull import Pull
    from tether.record import RunRecord
    from tether.spec import RunSpec


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"tether.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tether' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__

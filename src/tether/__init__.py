"""Tether holds a fine-tuned model to what its source model knew."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "BSS",
    "L1",
    "L2",
    "Anchor",
    "Annealing",
    "Audit",
    "Classify",
    "Constant",
    "Cosine",
    "Delta",
    "FeatureDistill",
    "Fisher",
    "FrobeniusBall",
    "Frozen",
    "GroupLasso",
    "Heads",
    "LogitDistill",
    "MarsBall",
    "Match",
    "Objective",
    "Penalty",
    "Plan",
    "Pull",
    "RunRecord",
    "RunSpec",
    "Study",
    "Tether",
    "TetherError",
    "Transfer",
    "Weighted",
    "Weights",
    "convert",
    "differential_l2",
    "ewc",
    "fedprox",
    "fisher",
    "fit",
    "frozen",
    "group_lasso_sp",
    "l1_sp",
    "l2",
    "l2_sp",
    "l2_sp_fisher",
    "mars_sp",
    "match",
    "none",
    "predict",
    "resume",
    "transfer",
]

_HOMES = {
    "BSS": "terms.bss",
    "L1": "penalties.l1",
    "L2": "penalties.l2",
    "Anchor": "anchor",
    "Annealing": "penalties.schedule",
    "Audit": "audit.result",
    "Classify": "terms.classify",
    "Constant": "penalties.schedule",
    "Cosine": "penalties.schedule",
    "Delta": "terms.delta",
    "FeatureDistill": "terms.distill",
    "Fisher": "curvature.information",
    "FrobeniusBall": "penalties.ball",
    "Frozen": "penalties.frozen",
    "GroupLasso": "penalties.group",
    "Heads": "penalties.views",
    "LogitDistill": "terms.distill",
    "MarsBall": "penalties.ball",
    "Match": "matching.match",
    "Objective": "terms.objective",
    "Penalty": "penalties.base",
    "Plan": "penalties.plan",
    "Pull": "penalties.pull",
    "RunRecord": "record",
    "RunSpec": "spec",
    "Study": "study.study",
    "Tether": "binding",
    "TetherError": "errors",
    "Transfer": "matching.transfer",
    "Weighted": "penalties.weighted",
    "Weights": "penalties.pull",
    "convert": "conversion",
    "differential_l2": "penalties.presets",
    "ewc": "penalties.presets",
    "fedprox": "penalties.presets",
    "fisher": "curvature.fisher",
    "fit": "engine.fit",
    "frozen": "penalties.presets",
    "group_lasso_sp": "penalties.presets",
    "l1_sp": "penalties.presets",
    "l2": "penalties.presets",
    "l2_sp": "penalties.presets",
    "l2_sp_fisher": "penalties.presets",
    "mars_sp": "penalties.presets",
    "match": "matching.match",
    "none": "penalties.presets",
    "predict": "engine.predict",
    "resume": "engine.fit",
    "transfer": "matching.transfer",
}

if TYPE_CHECKING:
    from tether.anchor import Anchor
    from tether.audit.result import Audit
    from tether.binding import Tether
    from tether.conversion import convert
    from tether.curvature.fisher import fisher
    from tether.curvature.information import Fisher
    from tether.engine.fit import fit, resume
    from tether.engine.predict import predict
    from tether.errors import TetherError
    from tether.matching.match import Match, match
    from tether.matching.transfer import Transfer, transfer
    from tether.penalties.ball import FrobeniusBall, MarsBall
    from tether.penalties.base import Penalty
    from tether.penalties.frozen import Frozen
    from tether.penalties.group import GroupLasso
    from tether.penalties.l1 import L1
    from tether.penalties.l2 import L2
    from tether.penalties.plan import Plan
    from tether.penalties.presets import (
        differential_l2,
        ewc,
        fedprox,
        frozen,
        group_lasso_sp,
        l1_sp,
        l2,
        l2_sp,
        l2_sp_fisher,
        mars_sp,
        none,
    )
    from tether.penalties.pull import Pull, Weights
    from tether.penalties.schedule import Annealing, Constant, Cosine
    from tether.penalties.views import Heads
    from tether.penalties.weighted import Weighted
    from tether.record import RunRecord
    from tether.spec import RunSpec
    from tether.study.study import Study
    from tether.terms.bss import BSS
    from tether.terms.classify import Classify
    from tether.terms.delta import Delta
    from tether.terms.distill import FeatureDistill, LogitDistill
    from tether.terms.objective import Objective


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"tether.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tether' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__

"""Presets: named plans, each with its source and acting as its paper does."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from tether.errors import PlanError, SettingsError
from tether.escaping import terminal
from tether.penalties.ball import MarsBall
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.views import View
from tether.penalties.weighted import Weighted
from tether.registry import Registry, did_you_mean

PRESETS: Registry[Callable[..., Plan]] = Registry("preset")


@PRESETS.register("none")
def none() -> Plan:
    """Plain fine-tuning: nothing is held.

    >>> print(none())
    none · transferred: free · new: free · by prox
    """
    return Plan(name="none")


@PRESETS.register("l2")
def l2(strength: float = 1e-4) -> Plan:
    """Weight decay on everything, toward zero, coupled: what `torch.optim.SGD(weight_decay=strength)` does.

    >>> print(l2())
    l2 · transferred → zero: L2(0.0001) · new → zero: L2(0.0001) · by gradient
    """
    return Plan(transferred=L2(strength).toward("zero"), new=L2(strength), via="gradient", name="l2")


@PRESETS.register("differential_l2")
def differential_l2(new: float = 1e-4, transferred: float = 1e-5) -> Plan:
    """The article's penalty: stronger on new than on transferred parameters, both toward zero.

    Norms and biases are included, as in the article's code. In its formula,
    L + λ_t Σ w_new² + λ_s Σ w_transferred², strength = 2λ. It does not preserve the source.

    >>> print(differential_l2())
    differential_l2 · transferred → zero: L2(1e-05) · new → zero: L2(0.0001) · by gradient
    """
    return Plan(transferred=L2(transferred).toward("zero"), new=L2(new), via="gradient", name="differential_l2")


@PRESETS.register("l2_sp")
def l2_sp(alpha: float = 0.1, beta: float = 0.01) -> Plan:
    """L2 toward the starting point, α/2‖w_S − w_S⁰‖² + β/2‖w_S̄‖² (Li, Grandvalet and Davoine, 2018, eq. 4).

    Norms and biases are held too, where the authors' code leaves them out: what is left out may drift freely.

    >>> print(l2_sp())
    l2_sp · transferred → source: L2(0.1) · new → zero: L2(0.01) · by gradient
    """
    return Plan(transferred=L2(alpha), new=L2(beta), via="gradient", name="l2_sp")


@PRESETS.register("l1_sp")
def l1_sp(alpha: float, beta: float = 0.01) -> Plan:
    """L1 toward the starting point, α‖w_S − w_S⁰‖₁ + β/2‖w_S̄‖² (Li, Grandvalet and Davoine, 2018, eq. 6).

    By prox, where the authors use a subgradient: only so do weights stay exactly at the source.

    >>> print(l1_sp(1e-3))
    l1_sp · transferred → source: L1(0.001) · new → zero: L2(0.01) · by prox
    """
    return Plan(transferred=L1(alpha), new=L2(beta), via="prox", name="l1_sp")


@PRESETS.register("group_lasso_sp")
def group_lasso_sp(alpha: float, beta: float = 0.01, view: View = "filters") -> Plan:
    """Group lasso toward the starting point, α Σ √n ‖w_g − w_g⁰‖ + β/2‖w_S̄‖² (Li, Grandvalet and Davoine, 2018).

    By prox, where the authors use a subgradient: only so do whole groups stay exactly at the source. Their groups are
    filters, each with the weight √n.

    >>> print(group_lasso_sp(1e-3))
    group_lasso_sp · transferred → source: GroupLasso(0.001, "filters") · new → zero: L2(0.01) · by prox
    """
    return Plan(transferred=GroupLasso(alpha, view), new=L2(beta), via="prox", name="group_lasso_sp")


@PRESETS.register("l2_sp_fisher")
def l2_sp_fisher(fisher: Mapping[str, Tensor], alpha: float = 0.1, beta: float = 0.01) -> Plan:
    """L2 toward the starting point, each weight by its Fisher information, α/2 Σ Fⱼ(wⱼ − wⱼ⁰)² + β/2‖w_S̄‖².

    L2-SP-Fisher (Li, Grandvalet and Davoine, 2018). `fisher` is by parameter name: see `tether.curvature.fisher`.

    >>> import torch
    >>> print(l2_sp_fisher({"weight": torch.ones(2)}))
    l2_sp_fisher · transferred → source: Weighted(0.1, importance) · new → zero: L2(0.01) · by gradient
    """
    return Plan(transferred=Weighted(alpha, fisher), new=L2(beta), via="gradient", name="l2_sp_fisher")


@PRESETS.register("ewc")
def ewc(fisher: Mapping[str, Tensor], strength: float) -> Plan:
    """Elastic weight consolidation, λ/2 Σ Fⱼ(wⱼ − wⱼ*)² (Kirkpatrick et al., 2017, eq. 3); new parameters are free.

    `fisher` is the diagonal Fisher information of the source task by parameter name: see `tether.curvature.fisher`.

    >>> import torch
    >>> print(ewc({"weight": torch.ones(2)}, 100.0))
    ewc · transferred → source: Weighted(100.0, importance) · new: free · by gradient
    """
    return Plan(transferred=Weighted(strength, fisher), via="gradient", name="ewc")


@PRESETS.register("mars_sp")
def mars_sp(radius: float, new: float | None = None) -> Plan:
    """Projection into a ball of the MARS norm around the starting point (Gouk, Hospedales and Pontil, 2021, MARS-PGM).

    Every transferred tensor has the same radius; with `new`, new ones have a ball of that radius around zero, as the
    authors' classifier has. Biases are held too, where the authors leave them out.

    >>> print(mars_sp(8.0))
    mars_sp · transferred → source: MarsBall(8.0) · new: free · by prox
    """
    return Plan(transferred=MarsBall(radius), new=None if new is None else MarsBall(new), via="prox", name="mars_sp")


@PRESETS.register("fedprox")
def fedprox(mu: float) -> Plan:
    """The proximal term of federated learning, μ/2‖w − wᵗ‖² (Li et al., 2020, eq. 2).

    wᵗ are the global model's weights at the start of a round: make the tether anew each round, of
    `Anchor.of(model)`. Parameters that a client keeps for itself are new and free.

    >>> print(fedprox(0.01))
    fedprox · transferred → source: L2(0.01) · new: free · by gradient
    """
    return Plan(transferred=L2(mu), via="gradient", name="fedprox")


@PRESETS.register("frozen")
def frozen() -> Plan:
    """The transferred parameters do not move; only the new ones train.

    >>> print(frozen())
    frozen · transferred → source: Frozen() · new: free · by prox
    """
    return Plan(transferred=Frozen(), via="prox", name="frozen")


def needs_fisher(name: str | None) -> bool:
    """Whether the preset of that name weighs by a Fisher information, its argument `fisher`."""
    return name is not None and name in PRESETS and "fisher" in inspect.signature(PRESETS[name]).parameters


def preset(name: str, arguments: Mapping[str, Any]) -> Plan:
    """Build a preset by name.

    Raises:
        SettingsError, PlanError: see `refuse_arguments`; or an argument is out of range.

    >>> preset("l2_sp", {"alpha": 1.0}).transferred
    L2(1.0)

    """
    make, known = refuse_arguments(name, arguments)
    try:
        return make(**arguments)
    except PlanError as error:
        why = error.why or f"it is an argument of the preset `{name}`"
        fix = error.fix or f'--plan "{name}({next(iter(known), "")}=…)" with a value that it takes'
        raise type(error)(error.what, why=why, fix=fix) from None


def refuse_arguments(
    name: str, arguments: Mapping[str, Any], *, later: tuple[str, ...] = ()
) -> tuple[Callable[..., Plan], Iterable[str]]:
    """Raise where a preset does not take such arguments, before anything is computed for it.

    Args:
        later: arguments that are still to come.

    Returns:
        What makes the preset, and the names of its arguments.

    Raises:
        SettingsError: no preset is named so, it has no such argument, or one that it needs is missing.

    """
    make = PRESETS[name]
    known = inspect.signature(make).parameters
    for argument in arguments:
        if argument not in known:
            raise SettingsError(
                f"the preset `{name}` has no argument `{terminal(argument)}`",
                why=f"it takes {', '.join(f'`{one}`' for one in known if one not in later) or 'none'}",
                fix=did_you_mean(argument, set(known) - set(later)),
            )
    for argument, parameter in known.items():
        if parameter.default is parameter.empty and argument not in (*arguments, *later):
            raise SettingsError(
                f"the preset `{name}` needs `{argument}`",
                why="no value of it is right in general",
                fix=f'--plan "{name}({argument}=…)", or plan.args.{argument} in the spec',
            )
    return make, known

"""Presets: named plans, each with its source and acting as its paper does."""

import inspect
from collections.abc import Callable, Mapping

from tether.errors import SettingsError
from tether.penalties.frozen import Frozen
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
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


@PRESETS.register("frozen")
def frozen() -> Plan:
    """The transferred parameters do not move; only the new ones train.

    >>> print(frozen())
    frozen · transferred → source: Frozen() · new: free · by prox
    """
    return Plan(transferred=Frozen(), via="prox", name="frozen")


def preset(name: str, arguments: Mapping[str, float]) -> Plan:
    """Build a preset by name.

    Raises:
        SettingsError: no preset is named so, it has no such argument, or one that it needs is missing.

    >>> preset("l2_sp", {"alpha": 1.0}).transferred
    L2(1.0)

    """
    make = PRESETS[name]
    known = inspect.signature(make).parameters
    for argument in arguments:
        if argument not in known:
            raise SettingsError(f"the preset `{name}` has no argument `{argument}`", fix=did_you_mean(argument, known))
    for argument, parameter in known.items():
        if parameter.default is parameter.empty and argument not in arguments:
            raise SettingsError(
                f"the preset `{name}` needs `{argument}`",
                why="no value of it is right in general",
                fix=f'--plan "{name}({argument}=…)", or plan.args.{argument} in the spec',
            )
    return make(**arguments)

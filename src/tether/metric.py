"""The metric of an optimiser: the step it takes for each value per unit of gradient, after many like gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from tether.errors import UnknownStep

Group = Mapping[str, Any]
State = Mapping[str, Any]
Steps = Callable[[Group, State], Float[Tensor, "*shape"]]


def _adam(group: Group, state: State) -> Tensor:
    second = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    seen = 1 - group["betas"][1] ** _count(state)
    return _over((second / seen).sqrt_().add_(group["eps"]), _rate(group))


def _radam(group: Group, state: State) -> Tensor:
    """Liu et al., 2020, algorithm 2: the rectified step, or the plain rate while the variance is not tractable."""
    decay, t = group["betas"][1], float(state["step"])
    longest = 2 / (1 - decay) - 1
    length = longest - 2 * t * decay**t / (1 - decay**t)
    if length <= 5:
        return _over(torch.ones_like(state["exp_avg_sq"]), _rate(group))
    ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return _over(state["exp_avg_sq"].sqrt().add_(group["eps"]), _rate(group) * (ratio * (1 - decay**t)) ** 0.5)


def _adamax(group: Group, state: State) -> Tensor:
    return _over(state["exp_inf"].clone(), _rate(group))


def _rmsprop(group: Group, state: State) -> Tensor:
    second = state["square_avg"] - state["grad_avg"].square() if group["centered"] else state["square_avg"]
    return _over(second.sqrt().add_(group["eps"]), _rate(group) / (1 - group["momentum"]))


def _adagrad(group: Group, state: State) -> Tensor:
    rate = _rate(group) / (1 + (_count(state) - 1) * group["lr_decay"])
    return _over(state["sum"].sqrt().add_(group["eps"]), rate)


METRICS: dict[type[Optimizer], Steps] = {
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
    torch.optim.NAdam: _adam,
    torch.optim.RAdam: _radam,
    torch.optim.Adamax: _adamax,
    torch.optim.RMSprop: _rmsprop,
    torch.optim.Adagrad: _adagrad,
}
"""By exact class: a subclass may step otherwise."""


def metric(optimizer: Optimizer) -> Steps:
    r"""Return the function from a group and a parameter's state to the step of each of its values.

    In Adam it is $\eta_i=\mathrm{lr}/(\sqrt{\hat v_i}+\epsilon)$. A prox with these steps, δᵢ ← prox of ηᵢ·Ω at δᵢ, is
    at rest where ηᵢ·gᵢ = −ηᵢ·∂Ωᵢ, at the minimum of L + Ω; with one step for all it is not.

    Raises:
        UnknownStep: the metric of this optimiser is not known, or it has none.

    """
    if type(optimizer) in METRICS:
        return METRICS[type(optimizer)]
    known = ", ".join(kind.__name__ for kind in METRICS)
    raise UnknownStep(
        f"the metric of `{type(optimizer).__name__}` is not known",
        why=f"it is known of {known}, by exact class",
        fix='metric="identity", or via="gradient", which has the objective\'s fixed point in every optimiser',
    )


def _over(root: Tensor, rate: float | Tensor) -> Tensor:
    """Rate / root, in the memory of `root`, which is as large as the parameter."""
    return root.reciprocal_().mul_(rate)


def _rate(group: Group) -> float | Tensor:
    rate: float | Tensor = group["lr"]
    return rate


def _count(state: State) -> Tensor:
    step: Tensor = torch.as_tensor(state["step"])
    return step.double()

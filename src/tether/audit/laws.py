"""Laws: what a penalty must be by itself, in float64, on the very parameter that it holds."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float64
from torch import Tensor

from tether.audit.result import Row
from tether.held import Held
from tether.penalties.plan import Via

AGREES = 1e-4
NUDGE = 1e-6
ASIDE = (0.01, 0.1, 0.5)
LONGEST = 30


def displacement(part: Held, generator: torch.Generator, step: float = 1.0) -> Float64[Tensor, "*shape"]:
    """A displacement as large as the weight, none of it near zero, and so far out that the prox moves it.

    A new weight that is all zero is measured at the size it is likely to reach, fan-in^(−½).
    """
    weight = part.weight().double()
    size = float(weight.square().mean().sqrt())
    size = size or (weight[0].numel() if weight.ndim > 1 else max(1, weight.numel())) ** -0.5
    draws = torch.rand(2, *weight.shape, generator=generator, dtype=torch.float64).to(weight.device)
    found: Tensor = size * (0.5 + draws[0]) * torch.where(draws[1] < 0.5, -1.0, 1.0)
    if part.penalty.coupled:
        return found
    for _ in range(LONGEST):  # a constraint does nothing within its ball
        if not torch.equal(part.penalty.prox(found, step), found):
            break
        found = 2 * found
    return found


def laws(part: Held, via: Via, generator: torch.Generator) -> Iterator[Row]:
    """What holds of the penalty of one part: zero at the reference, a gradient and a prox that are its value's."""
    delta = displacement(part, generator)
    yield _at_reference(part, delta, via)
    if part.penalty.coupled:
        wrong = gradient_error(part, delta, generator)
        yield Row(
            "gradient is the value's",
            part.key,
            f"within {AGREES:.0e}",
            f"{wrong:.0e}" if wrong else "0",
            wrong <= AGREES,
            "" if wrong <= AGREES else f"{part.penalty!r}: `grad` is not the derivative of `value`",
        )
    if via == "prox":
        better = prox_error(part, delta)
        yield Row(
            "prox is the value's",
            part.key,
            f"within {AGREES:.0e}",
            f"{better:.0e}" if better else "0",
            better <= AGREES,
            "" if better <= AGREES else f"{part.penalty!r}: `prox` is not where step·Ω(x) + ½‖x − δ‖² is least",
        )


def gradient_error(part: Held, delta: Float64[Tensor, "*shape"], generator: torch.Generator) -> float:
    r"""How far $\langle\nabla\Omega, v\rangle$ is from the central difference of Ω along v, as a share of ‖∇Ω‖.

    Along δ itself and along one random direction, each of length one.
    """
    penalty, grad = part.penalty, part.penalty.grad(delta).double()
    aside = torch.randn(delta.shape, generator=generator, dtype=torch.float64).to(delta.device)
    worst = 0.0
    for direction in (delta, aside):
        along = direction / direction.norm()
        nudge = NUDGE * float(delta.norm())
        ahead, behind = penalty.value(delta + nudge * along), penalty.value(delta - nudge * along)
        numeric, analytic = float(ahead.double() - behind.double()) / (2 * nudge), float((grad * along).sum())
        size = max(abs(numeric), float(grad.norm()))
        worst = max(worst, abs(numeric - analytic) / size if size else 0.0)
    return worst


def prox_error(part: Held, delta: Float64[Tensor, "*shape"]) -> float:
    """By what share of itself Ω(x) + ½‖x − δ‖² still falls when x leaves the prox toward δ or away from it."""

    def objective(x: Tensor) -> float:
        return float(part.penalty.value(x)) + 0.5 * float((x - delta).square().sum())

    found = part.penalty.prox(delta, 1.0).double()
    here = objective(found)
    if not math.isfinite(here):
        return math.inf
    lines = (delta - found, found)
    others = [objective(found + sign * far * line) for line in lines for far in ASIDE for sign in (-1, 1)]
    return max(0.0, here - min(others)) / (here or 1.0)


def _at_reference(part: Held, delta: Float64[Tensor, "*shape"], via: Via) -> Row:
    penalty, zero = part.penalty, torch.zeros_like(delta)
    found = {"value": float(penalty.value(zero))}
    if penalty.coupled:
        found["gradient"] = float(penalty.grad(zero).abs().max())
    if via == "prox":
        found["prox"] = float(penalty.prox(zero, 1.0).abs().max())
    worst = max(found, key=lambda name: abs(found[name]))
    note = "" if found[worst] == 0 else f"{penalty!r}: its {worst} at no displacement is {found[worst]:.3g}"
    return Row("zero at the reference", part.key, "0", f"{found[worst]:.3g}", not note, note)

"""Schedule: how a strength changes over the steps of a run."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from tether.errors import PlanError


class Schedule(ABC):
    """A factor between 0 and 1 for every optimiser step, by which a pull's strength is multiplied."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """The factor at optimiser step `step`, counted from 0 since the tether was first attached."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The strength as it is.

    >>> Constant().factor(1000)
    1.0
    """

    def factor(self, step: int) -> float:
        """1."""
        return 1.0


CONSTANT = Constant()


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""From the full strength down half a cosine, $e+(1-e)\,\tfrac12(1+\cos(\pi t/T))$, and $e$ from $T$ on.

    Args:
        steps: T, in optimiser steps.
        end: e, the share of the strength that is left at the end.

    Raises:
        PlanError: `steps` is no count, or `end` no share.

    >>> [round(Cosine(4).factor(t), 3) for t in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]

    """

    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        _whole("Cosine(steps)", self.steps, least=1)
        if not (isinstance(self.end, int | float) and 0 <= self.end <= 1):
            raise PlanError(
                f"`Cosine(end={self.end!r})`: what is left at the end is a share, from 0 to 1",
                why="the strength falls from all to this part of it",
                fix="Cosine(steps, end=0.0) for nothing, or a number up to 1",
            )

    def factor(self, step: int) -> float:
        """The cosine at `step`."""
        done = min(step / self.steps, 1.0)
        return self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Annealing(Schedule):
    r"""RecAdam's annealing, $1-\lambda(t)$ with $\lambda(t)=1/(1+e^{-k(t-t_0)})$ (Chen et al., 2020).

    The paper's objective is λ(t)·L + (1 − λ(t))·γ/2‖w − w⁰‖². The factor of the penalty is here; that of the loss is
    left out, since under Adam a common factor of the gradients cancels: in another optimiser, multiply the loss of your
    own loop by `1 - schedule.factor(step)`.

    Args:
        rate: k, per step.
        middle: t₀, the step at which half of the strength is left.

    Raises:
        PlanError: the rate is not positive, or the middle no count.

    >>> annealing = Annealing(rate=0.1, middle=250)
    >>> [round(annealing.factor(t), 3) for t in (0, 240, 250, 260, 500)]
    [1.0, 0.731, 0.5, 0.269, 0.0]

    """

    rate: float
    middle: int

    def __post_init__(self) -> None:
        if not (isinstance(self.rate, int | float) and math.isfinite(self.rate) and self.rate > 0):
            raise PlanError(
                f"`Annealing(rate={self.rate!r})`: a rate is a finite number above 0, per step",
                why="it says how fast the pull fades around the middle step",
                fix="Annealing(rate=0.05, …)",
            )
        _whole("Annealing(middle)", self.middle, least=0)

    def factor(self, step: int) -> float:
        """1 − λ(step)."""
        return 0.5 * (1 - math.tanh(0.5 * self.rate * (step - self.middle)))


def _whole(what: str, value: int, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PlanError(
            f"`{what}` is a whole number of steps, {least} or more, and not {value!r}",
            why="a schedule counts the optimiser's steps",
            fix=f"give a whole number from {least} on, as steps = epochs × batches",
        )

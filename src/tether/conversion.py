"""Conversion of strengths: what one convention's number is in another."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from tether.errors import SettingsError
from tether.registry import Registry

Penalty = Literal["L2", "GroupLasso"]


Context = Mapping[str, float]
"""What a convention's number depends on beside itself, by the arguments of `convert`."""
Factor = Callable[[Context], float]


class Convention(ABC):
    """One way to write down how strong a penalty is; the strength is that of `L2` or `GroupLasso`."""

    needs: tuple[str, ...]
    """Keys of the context."""
    of: tuple[Penalty, ...]
    """The penalties that it gives the strength of."""

    @abstractmethod
    def to_strength(self, value: float, context: Context) -> float:
        """The strength that the convention's value stands for."""

    @abstractmethod
    def from_strength(self, strength: float, context: Context) -> float:
        """The convention's value of a strength."""


@dataclass(frozen=True)
class Proportional(Convention):
    """Strength = factor · value."""

    factor: Factor
    needs: tuple[str, ...] = ()
    of: tuple[Penalty, ...] = ("L2",)

    def to_strength(self, value: float, context: Context) -> float:
        """Factor · value."""
        return self.factor(context) * value

    def from_strength(self, strength: float, context: Context) -> float:
        """Strength / factor."""
        return strength / self.factor(context)


@dataclass(frozen=True)
class Squared(Convention):
    """Strength = 2 · value²."""

    needs: tuple[str, ...] = ()
    of: tuple[Penalty, ...] = ("L2",)

    def to_strength(self, value: float, context: Context) -> float:
        """2 · value²."""
        return 2 * value * value

    def from_strength(self, strength: float, context: Context) -> float:
        """√(strength / 2)."""
        return math.sqrt(strength / 2)


@dataclass(frozen=True)
class Decoupled(Convention):
    """A displacement times 1 − lr · value in each step, which the prox of step η shrinks by 1/(1 + η · strength).

    Args:
        share: lr / η, of the optimiser.

    """

    share: Factor
    needs: tuple[str, ...] = ("lr",)
    of: tuple[Penalty, ...] = ("L2",)

    def to_strength(self, value: float, context: Context) -> float:
        """Share · value / (1 − lr · value).

        Raises:
            SettingsError: one step takes the whole displacement or more.

        """
        if context["lr"] * value >= 1:
            raise SettingsError(
                f"a decoupled decay of {value!r} at `lr={context['lr']!r}` leaves no displacement after one step",
                why="lr · decay is 1 or more, and no strength has such a prox",
                fix="give the rate that the decay is multiplied by, or a smaller decay",
            )
        return self.share(context) * value / (1 - context["lr"] * value)

    def from_strength(self, strength: float, context: Context) -> float:
        """Strength / (share + lr · strength)."""
        return strength / (self.share(context) + context["lr"] * strength)


CONVENTIONS: Registry[Convention] = Registry("convention")

MEANINGS = {
    "lr": "a learning rate, a finite number above 0",
    "momentum": "a momentum, from 0 to below 1",
    "samples": "the number of samples, whole and 1 or more",
    "size": "the number of values, whole and 1 or more",
}

for _name, _convention in {
    "strength": Proportional(lambda at: 1.0, of=get_args(Penalty)),
    "article": Proportional(lambda at: 2.0),
    "weight_decay": Proportional(lambda at: 1.0),
    "l2_sp_alpha": Proportional(lambda at: 1.0),
    "l2_sp_beta": Proportional(lambda at: 1.0),
    "tllib_sp": Proportional(lambda at: 1.0),
    "ewc": Proportional(lambda at: 1.0),
    "ewc_without_half": Proportional(lambda at: 2.0),
    "mars_frobenius": Proportional(lambda at: 2.0),
    "mean_square": Proportional(lambda at: 2 / at["size"], needs=("size",)),
    "fedprox": Proportional(lambda at: 1.0),
    "lsqr_damp": Squared(),
    "ridge": Proportional(lambda at: 2.0),
    "ridge_mean": Proportional(lambda at: 2 / at["samples"], needs=("samples",)),
    "prior_precision": Proportional(lambda at: 1 / at["samples"], needs=("samples",)),
    "adamw": Decoupled(lambda at: 1.0),
    "recadam": Decoupled(lambda at: 1.0),
    "sgdw": Decoupled(lambda at: 1 - at["momentum"], needs=("lr", "momentum")),
    "group_lasso": Proportional(lambda at: 1.0, of=("GroupLasso",)),
    "group_lasso_unweighted": Proportional(lambda at: at["size"] ** -0.5, needs=("size",), of=("GroupLasso",)),
}.items():
    CONVENTIONS.register(_name)(_convention)


def convert(
    value: float,
    source: str,
    target: str = "strength",
    *,
    lr: float | None = None,
    momentum: float | None = None,
    samples: int | None = None,
    size: int | None = None,
) -> float:
    r"""Say in one convention what a value is in another: $\mathrm{from}_b(\mathrm{to\ strength}_a(\text{value}))$.

    `strength` is Tether's own, that of `L2` (λ/2 ‖δ‖²) or of `GroupLasso`; the others are the rows of docs/maths.md,
    "One convention". What a row depends on must be given, and nothing else may be.

    Args:
        source: the name of the convention of `value`.
        target: the name of the one that is wanted.
        lr: the learning rate that a decoupled decay is multiplied by.
        momentum: SGD's momentum, without dampening.
        samples: N, of which the loss is the mean.
        size: n, the values of a tensor whose square is averaged, or of a group.

    Raises:
        SettingsError: no convention is named so; the value is negative or not finite; something the conversion depends
            on is missing or out of range, or something is given that it does not depend on; the two are of different
            penalties; a decoupled decay takes the whole displacement; or the result is beyond what a float holds.

    >>> convert(1e-4, "article")  # λ Σ w² has no ½
    0.0002
    >>> convert(1e-4, "article", "prior_precision", samples=1000)
    0.2
    >>> convert(0.5, "adamw", lr=0.5)  # shrinks by 1 − 0.25 = 1/(1 + 0.5 · ⅔)
    0.6666666666666666

    """
    giving, wanted = CONVENTIONS[source], CONVENTIONS[target]
    given = {"lr": lr, "momentum": momentum, "samples": samples, "size": size}
    _refuse_foreign(giving, wanted, source, target)
    _refuse_unlike(given, {*giving.needs, *wanted.needs}, f"`{source}` to `{target}`")
    if isinstance(value, bool) or not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
        raise SettingsError(
            f"`{value!r}` is no value of `{source}`: it is a finite number, 0 or more",
            why="a penalty below 0 would push away",
            fix=f"give a number such as 0.01 as the value of `{source}`",
        )
    context = {name: setting for name, setting in given.items() if setting is not None}
    found = wanted.from_strength(giving.to_strength(float(value), context), context)
    if not math.isfinite(found) or (found == 0) != (value == 0):
        raise SettingsError(
            f"{value!r} of `{source}` is {found!r} of `{target}`, beyond what a float holds",
            why="the conversion overflows, or leaves nothing",
            fix="check the value and the settings that it goes with, such as `lr` and `n`",
        )
    return found


def _refuse_foreign(giving: Convention, wanted: Convention, source: str, target: str) -> None:
    if not set(giving.of) & set(wanted.of):
        raise SettingsError(
            f"`{source}` is a strength of `{giving.of[0]}`, and `{target}` one of `{wanted.of[0]}`",
            why="the two are different penalties, and no strength makes one the other",
            fix=f"convert to another convention of `{giving.of[0]}`",
        )


def _refuse_unlike(given: dict[str, float | int | None], needs: set[str], what: str) -> None:
    for name, setting in given.items():
        if setting is None and name in needs:
            raise SettingsError(
                f"from {what} needs `{name}`",
                why="one of the two conventions divides or multiplies by it",
                fix=f"`{name}=…`, {MEANINGS[name]}",
            )
        if setting is not None and name not in needs:
            raise SettingsError(
                f"from {what} does not depend on `{name}`",
                why="it would be read and change nothing",
                fix=f"leave `{name}={setting!r}` out",
            )
        if setting is not None and not _in_range(name, setting):
            raise SettingsError(
                f"`{name}={setting!r}`: it is {MEANINGS[name]}",
                why="the value lies outside of what this can be",
                fix=f"correct `{name}`",
            )


def _in_range(name: str, setting: float) -> bool:
    if isinstance(setting, bool) or not isinstance(setting, int | float) or not math.isfinite(setting):
        return False
    if name in ("samples", "size"):
        return isinstance(setting, int) and setting >= 1
    return 0 <= setting < 1 if name == "momentum" else setting > 0

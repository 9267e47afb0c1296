"""What terms refuse of their arguments."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from torch import nn

from tether.errors import PlanError
from tether.terms.teacher import refuse_unless_frozen


def checked_number(owner: str, argument: str, value: Any, *, positive: bool = False) -> float:
    """Refuse what is not a finite number of the range.

    Raises:
        PlanError: it is not.

    """
    fits = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not fits or value < 0 or (positive and value == 0):
        raise PlanError(
            f"`{owner}({argument}={value!r})`: a finite number {'above 0' if positive else 'from 0 on'}",
            why="another value has no meaning in the term's formula",
            fix=f"{owner}({argument}=1.0), or leave it out",
        )
    return float(value)


def checked_layers(owner: str, layers: Any) -> tuple[str, ...]:
    """Layers as a tuple of names or globs.

    Raises:
        PlanError: there is none, or they are something else.

    """
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not all(isinstance(name, str) for name in layers):
        raise PlanError(
            f"`{owner}(layers={layers!r})` is no list of names",
            why="a term looks at layers by their names in `model.named_modules()`",
            fix='layers=["layer3"], or a shell glob',
        )
    if not layers:
        raise PlanError(
            f"`{owner}` has no layer to look at",
            why="its value would be 0 whatever the model does",
            fix='layers=["layer3"], or a shell glob',
        )
    return tuple(layers)


def checked_teacher(owner: str, teacher: Any) -> None:
    """Refuse what is no frozen model.

    Raises:
        PlanError: it is no module, or could be trained.

    """
    if teacher is not None and not isinstance(teacher, nn.Module):
        raise PlanError(
            f"`{owner}({teacher!r})`: the teacher is a model",
            why="every batch goes through it once, without gradients",
            fix=f"{owner}(frozen(source), …), or .bind(frozen(source))",
        )
    if teacher is not None:
        refuse_unless_frozen(teacher)

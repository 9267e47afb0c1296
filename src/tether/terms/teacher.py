"""The teacher: a frozen copy of the source, which is asked and never trained."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from tether.errors import PlanError
from tether.params.select import bare
from tether.terms.taps import Pass, Tap, forward


def frozen(source: nn.Module) -> nn.Module:
    """Copy a model to be a teacher: in evaluation mode, with no parameter that takes a gradient.

    Several terms that are given the same teacher share its one forward pass a step. The copy costs the memory of one
    model; the source may be dropped, or trained on.

    >>> source = nn.Linear(2, 2)
    >>> teacher = frozen(source)
    >>> teacher.training, teacher.weight.requires_grad, source.weight.requires_grad
    (False, False, True)

    """
    return deepcopy(bare(source)).eval().requires_grad_(False)


def ask(teacher: nn.Module, student: nn.Module, inputs: Any, taps: Iterable[Tap]) -> Pass:
    """Send inputs through the teacher, without gradients, and keep what is tapped.

    Raises:
        PlanError: the teacher shares a parameter with the student, is in training mode, or takes gradients.
        NoParameterSelected: a tap matches no layer.

    """
    refuse_unless_frozen(teacher)
    _refuse_shared(teacher, student)
    with torch.no_grad(), _as_in_training():
        return forward(teacher, inputs, taps)


def refuse_unless_frozen(teacher: nn.Module) -> None:
    """Refuse a teacher that could be trained, or would move its running statistics.

    Raises:
        PlanError: a layer is in training mode, or a parameter takes gradients.

    """
    training = next((name for name, module in teacher.named_modules() if module.training), None)
    trained = next((name for name, p in teacher.named_parameters() if p.requires_grad), None)
    if training is not None or trained is not None:
        what = f"the parameter `{trained}` takes gradients" if training is None else "is in training mode"
        where = f"`{training}` " if training else "it " if training is not None else ""
        raise PlanError(
            f"the teacher is not frozen: {where}{what}",
            why="it stands for the source as it was, and must change neither by a step nor by its running statistics",
            fix="tether.terms.teacher.frozen(source), and keep the teacher out of the model that trains",
        )


def _refuse_shared(teacher: nn.Module, student: nn.Module) -> None:
    theirs = {p.data_ptr() for p in teacher.parameters() if p.numel()}
    shared = next((name for name, p in student.named_parameters() if p.numel() and p.data_ptr() in theirs), None)
    if shared is not None:
        raise PlanError(
            f"the teacher and the model that trains share the parameter `{shared}`",
            why="a teacher that moves with its student holds nothing",
            fix="tether.terms.teacher.frozen(source), which copies it",
        )


@contextmanager
def _as_in_training() -> Iterator[None]:
    """Without torch's fast path for attention in evaluation, whose kernels round unlike those that take gradients."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)

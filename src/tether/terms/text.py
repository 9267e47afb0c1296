"""Objectives as text: what a spec holds, read without running anything."""

import ast
from collections.abc import Callable
from typing import Any

from tether.errors import PlanError
from tether.registry import Registry
from tether.terms.base import Term
from tether.terms.bss import BSS
from tether.terms.classify import Classify
from tether.terms.delta import Delta
from tether.terms.distill import FeatureDistill, LogitDistill
from tether.terms.objective import Objective

TERMS: Registry[Callable[..., Term]] = Registry("term")
for _class in (Classify, BSS, Delta, LogitDistill, FeatureDistill):
    TERMS.register(_class.__name__)(_class)

Read = Objective | float | int | str | list[Any]


def parse(text: str) -> Objective:
    """Read `Classify() + 0.05 * Delta(layers=["layer3"])`; the inverse of `repr`, without teachers, which `bind` gives.

    Raises:
        PlanError: it is not such an expression, or a term does not take such arguments.
        SettingsError: a term of that name is not known.

    >>> parse('Classify(label_smoothing=0.1) + 0.5 * (LogitDistill() + 0.002 * BSS())')
    Classify(label_smoothing=0.1) + 0.5 * LogitDistill() + 0.001 * BSS()

    """
    try:
        found = _read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _unread(text, str(error) if isinstance(error, _Misfit) else "") from None
    if not isinstance(found, Objective):
        raise _unread(text, "")
    return found


class _Misfit(TypeError):
    """A term does not take these arguments."""


def _unread(text: str, why: str) -> PlanError:
    return PlanError(
        f"`{text}` is no objective", why=why, fix='write it as `Classify() + 0.05 * Delta(layers=["layer3"])`'
    )


def _read(node: ast.expr) -> Read:
    match node:
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_read(item) for item in items]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _read(left) + _read(right)  # type: ignore[operator]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _read(left) * _read(right)  # type: ignore[operator]
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            return _made(name, keywords)
    raise TypeError


def _made(name: str, keywords: list[ast.keyword]) -> Objective:
    make, told = TERMS[name], {str(keyword.arg): _read(keyword.value) for keyword in keywords}
    try:
        return 1.0 * make(**told)
    except TypeError as error:
        raise _Misfit(str(error).replace(f"{name}.__init__()", f"`{name}`")) from None

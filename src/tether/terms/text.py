"""Objectives as text: what a spec holds, read without running anything."""

import ast
from collections.abc import Callable
from typing import Any

from tether.errors import PlanError
from tether.escaping import terminal
from tether.expression import Unread, made, named, number, tree
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

HOW = 'write it as `Classify() + 0.05 * Delta(layers=["layer3"])`'

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
        found = _read(tree(text))
        if not isinstance(found, Objective):
            raise Unread("it is no term")
    except Unread as error:
        raise PlanError(f"`{terminal(text)}` is no objective", why=str(error), fix=HOW) from None
    except PlanError as error:
        why = error.why or f"it stands in `{terminal(text)}`"
        raise type(error)(error.what, why=why, fix=error.fix or HOW) from None
    return found


def _read(node: ast.expr) -> Read:
    if (value := number(node)) is not None:
        return value
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_read(item) for item in items]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sum(_read(left), _read(right))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _product(_read(left), _read(right))
        case ast.Call(func=ast.Name(id=called), args=[], keywords=keywords):
            make, told = TERMS[called], named(keywords, _read)
            return 1.0 * made(called, make, [], told)  # type: ignore[no-any-return]
        case ast.Call(func=ast.Name(id=called)):
            raise Unread(f"the arguments of `{called}` have no names")
    raise Unread(f"`{terminal(ast.unparse(node))}` is not read in an objective")


def _sum(left: Read, right: Read) -> Objective:
    if not (isinstance(left, Objective) and isinstance(right, Objective)):
        raise Unread("only terms can be added")
    return left + right


def _product(left: Read, right: Read) -> Objective | float:
    factor, other = (left, right) if isinstance(left, int | float) else (right, left)
    if not isinstance(factor, int | float) or not isinstance(other, Objective | int | float):
        raise Unread("only a term can be multiplied, and only by a number")
    try:
        return float(factor) * (other if isinstance(other, Objective) else float(other))
    except OverflowError:
        raise Unread("a number in it is too large") from None

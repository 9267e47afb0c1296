"""Penalties as text: what a spec holds, read without running anything."""

import ast
from collections.abc import Callable

from tether.errors import PlanError
from tether.penalties.base import Penalty, Pull
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.registry import Registry

PENALTIES: Registry[Callable[..., Penalty]] = Registry("penalty")
for _class in (L2, L1, GroupLasso, Frozen):
    PENALTIES.register(_class.__name__)(_class)


def parse(text: str) -> Penalty | Pull | None:
    """Read `L2(0.01) + 0.5 * L1(1e-4)`, optionally `(...).toward("zero")`, or `none`; the inverse of `repr`.

    Raises:
        PlanError: it is not such an expression.
        SettingsError: a penalty of that name is not known.

    >>> parse('L2(0.01) + 0.5 * L1(2e-4)')
    L2(0.01) + L1(0.0001)
    >>> parse('L2(1.0).toward("zero")')
    L2(1.0).toward("zero")

    """
    if text.strip().lower() == "none":
        return None
    try:
        found = _read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        found = None
    if not isinstance(found, Penalty | Pull):
        raise PlanError(
            f"`{text}` is not a penalty", fix='write it as `L2(0.01) + L1(1e-4)` or `L2(0.1).toward("zero")`'
        )
    return found


def _read(node: ast.expr) -> Penalty | Pull | float | str:
    match node:
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _read(left) + _read(right)  # type: ignore[operator]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _read(left) * _read(right)  # type: ignore[operator, arg-type]
        case ast.Call(func=ast.Attribute(value=inner, attr="toward"), args=[reference], keywords=[]):
            return _read(inner).toward(_read(reference))  # type: ignore[union-attr, arg-type]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            named = {keyword.arg: _read(keyword.value) for keyword in keywords if keyword.arg}
            return PENALTIES[name](*map(_read, args), **named)
    raise TypeError

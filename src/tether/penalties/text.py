"""Penalties as text: what a spec holds, read without running anything."""

import ast
from collections.abc import Callable
from typing import Any

from tether.errors import PlanError
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.pull import Pull
from tether.penalties.schedule import Annealing, Constant, Cosine, Schedule
from tether.penalties.views import Heads
from tether.registry import Registry

PENALTIES: Registry[Callable[..., Penalty]] = Registry("penalty")
for _class in (L2, L1, GroupLasso, FrobeniusBall, MarsBall, Frozen):
    PENALTIES.register(_class.__name__)(_class)
PARTS: dict[str, Callable[..., Schedule | Heads]] = {
    part.__name__: part for part in (Constant, Cosine, Annealing, Heads)
}


def parse(text: str) -> Penalty | Pull | None:
    """Read `L2(0.01) + 0.5 * L1(1e-4)`, `(...).toward("zero", Cosine(1000))`, or `none`; the inverse of `repr`.

    Raises:
        PlanError: it is not such an expression.
        SettingsError: a penalty of that name is not known.

    >>> parse('L2(0.01) + 0.5 * L1(2e-4)')
    L2(0.01) + L1(0.0001)
    >>> parse('L2(1.0).toward("zero")')
    L2(1.0).toward("zero")
    >>> parse('GroupLasso(0.1, Heads(12)).toward("averaged.safetensors")')
    GroupLasso(0.1, Heads(12)).toward("averaged.safetensors")

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


def _read(node: ast.expr) -> Penalty | Pull | Schedule | Heads | float | str:
    match node:
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _read(left) + _read(right)  # type: ignore[operator]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _read(left) * _read(right)  # type: ignore[operator, arg-type]
        case ast.Call(func=ast.Attribute(value=inner, attr="toward"), args=args, keywords=keywords):
            return _read(inner).toward(*map(_read, args), **_named(keywords))  # type: ignore[union-attr, arg-type]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            make = PARTS.get(name) or PENALTIES[name]
            return make(*map(_read, args), **_named(keywords))
    raise TypeError


def _named(keywords: list[ast.keyword]) -> dict[str, Any]:
    if any(keyword.arg is None for keyword in keywords):
        raise TypeError
    return {str(keyword.arg): _read(keyword.value) for keyword in keywords}

"""Penalties as text: what a spec holds, read without running anything."""

import ast
from collections.abc import Callable
from typing import Any

from tether.errors import PlanError
from tether.escaping import terminal
from tether.expression import Unread, made, named, number, tree
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
HOW = 'write it as `L2(0.01) + L1(1e-4)` or `L2(0.1).toward("zero")`'

Read = Penalty | Pull | Schedule | Heads | float | str


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
        found = _read(tree(text))
        if not isinstance(found, Penalty | Pull):
            raise Unread(f"it is {_kind(found)}")
    except Unread as error:
        raise PlanError(f"`{terminal(text)}` is not a penalty", why=str(error), fix=HOW) from None
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
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sum(_read(left), _read(right))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _product(_read(left), _read(right))
        case ast.Call(func=ast.Attribute(value=inner, attr="toward"), args=args, keywords=keywords):
            return _toward(_read(inner), [_read(arg) for arg in args], named(keywords, _read))
        case ast.Call(func=ast.Name(id=called), args=args, keywords=keywords):
            make = PARTS.get(called) or PENALTIES[called]
            return made(called, make, [_read(arg) for arg in args], named(keywords, _read))  # type: ignore[no-any-return]
    raise Unread(f"`{terminal(ast.unparse(node))}` is not read in a penalty")


def _sum(left: Read, right: Read) -> Penalty:
    if not (isinstance(left, Penalty) and isinstance(right, Penalty)):
        other = right if isinstance(left, Penalty) else left
        raise Unread(f"only penalties can be added, and {_kind(other)} is none")
    return left + right


def _product(left: Read, right: Read) -> Penalty | float:
    factor, other = (left, right) if isinstance(left, int | float) else (right, left)
    if not isinstance(factor, int | float) or not isinstance(other, Penalty | int | float):
        raise Unread(f"only a penalty can be multiplied, by a number: {_kind(left)} times {_kind(right)} is nothing")
    try:
        return float(factor) * (other if isinstance(other, Penalty) else float(other))
    except OverflowError:
        raise Unread("a number in it is too large") from None


def _toward(penalty: Read, given: list[Read], told: dict[str, Any]) -> Pull:
    if not isinstance(penalty, Penalty):
        raise Unread(f"only a penalty pulls toward something, and {_kind(penalty)} is none")
    later = [*given[1:2], *(value for key, value in told.items() if key == "schedule")]
    if any(not isinstance(schedule, Schedule) for schedule in later):
        raise Unread(f"{_kind(later[0])} is no schedule, which is Constant(), Cosine(steps) or Annealing(rate, middle)")
    return made("toward", penalty.toward, given, told)  # type: ignore[no-any-return]


def _kind(found: Read) -> str:
    return terminal(repr(found)) if isinstance(found, int | float | str | Pull) else f"`{terminal(repr(found))}`"

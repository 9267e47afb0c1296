"""Expressions: text in Python's grammar, read as a tree within bounds, of which nothing is ever evaluated."""

import ast
import inspect
import io
import tokenize
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MOST_LETTERS = 10_000
DEEPEST = 100
WHOLE = range(-(2**63), 2**63)


class Unread(ValueError):
    """Why a text is no expression of the wanted kind."""


def tree(text: str) -> ast.expr:
    """The tree of an expression.

    Raises:
        Unread: it is none, or too long, or too deep; or a part of it would not be read.

    >>> ast.unparse(tree(" L2( 0.1 ) "))
    'L2(0.1)'
    """
    if len(text) > MOST_LETTERS:
        raise Unread(f"it has {len(text):,} letters, and an expression has {MOST_LETTERS:,} at most")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on style is no part of the answer
            found = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise Unread(f"{error.msg}, at letter {error.offset or 1}" if text.strip() else "it is empty") from None
    except (ValueError, MemoryError, RecursionError, OverflowError):
        raise Unread("it is nested too deeply, or has letters that no expression has") from None
    _refuse_unbounded(found)
    if "#" in text and _has_comment(text.strip()):
        raise Unread("what follows `#` would not be read")
    return found


def named(keywords: Sequence[ast.keyword], read: Callable[[ast.expr], Any]) -> dict[str, Any]:
    """The arguments of a call that have a name.

    Raises:
        Unread: one is given twice, or they are unpacked from a mapping.
    """
    found: dict[str, Any] = {}
    for keyword in keywords:
        if keyword.arg is None:
            raise Unread("`**` is not read")
        if keyword.arg in found:
            raise Unread(f"`{keyword.arg}` is given twice")
        found[keyword.arg] = read(keyword.value)
    return found


def made(called: str, make: Callable[..., Any], given: Sequence[Any], told: Mapping[str, Any]) -> Any:
    """Call what a name stands for.

    Raises:
        Unread: it does not take such arguments.
    """
    try:
        inspect.signature(make).bind(*given, **told)
    except TypeError as error:
        raise Unread(f"`{called}`: {error}") from None
    try:
        return make(*given, **told)
    except (TypeError, AttributeError, OverflowError):
        raise Unread(f"`{called}` does not take such arguments") from None


def number(node: ast.expr) -> int | float | None:
    """The number that a node is, with its sign; None where it is none."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            value = number(inner)
            return None if value is None else -value
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
    return None


def _refuse_unbounded(found: ast.AST) -> None:
    left = [(found, 1)]
    while left:
        node, depth = left.pop()
        if depth > DEEPEST:
            raise Unread(f"it is deeper than {DEEPEST} expressions within one another")
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, int) and value not in WHOLE:
            raise Unread("a whole number in it has more than 64 bits")
        if isinstance(value, str) and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise Unread("a text in it has a NUL, or is no UTF-8")
        left += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _has_comment(text: str) -> bool:
    return any(token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(text).readline))

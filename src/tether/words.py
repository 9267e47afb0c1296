"""Words that stand for more than one value: a plan, a key with its value."""

import ast
import tomllib
from contextlib import suppress
from typing import Any

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.expression import Unread, named, number, tree
from tether.settings import dotted, key_parts

PLAN = '--plan l2_sp, --plan "l2_sp(alpha=1)", or --set \'plan.transferred="L2(0.1) + L1(1e-4)"\''
TRIES = 8
BEGINS = ("'", '"', "[", "{")


def plan_words(text: str, *, flag: str = "--plan") -> dict[str, Any]:
    """Read a preset, with its arguments in parentheses if any.

    Args:
        flag: what the text was given to, as an error spells it.

    Raises:
        SettingsError: it is neither.

    >>> plan_words("l2_sp(alpha=1, beta=0.01)")
    {'preset': 'l2_sp', 'args': {'alpha': 1.0, 'beta': 0.01}}
    """
    why = "a plan is a name, or a name and arguments that have names"
    try:
        match tree(text):
            case ast.Name(id=name):
                return {"preset": name, "args": {}}
            case ast.Constant(value=None):
                return {"preset": "none", "args": {}}
            case ast.Call(func=ast.Name(id=name), args=[], keywords=words):
                return {"preset": name, "args": named(words, _argument)}
    except Unread as error:
        why = str(error)
    raise SettingsError(f"`{flag} {terminal(text)}` is neither a preset nor a preset with arguments", why=why, fix=PLAN)


def _argument(node: ast.expr) -> float | str:
    if (value := number(node)) is not None:
        return float(value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise Unread(f"`{terminal(ast.unparse(node))}` is no number and no text in quotes")


def key_and_rest(text: str) -> tuple[str, str] | None:
    """Part `KEY=REST` at the first `=` that has a key before it; None where there is no `=`.

    Raises:
        SettingsError: what stands before the first `=` is no key, and nor is more of it.

    >>> key_and_rest('plan.overrides."a=b.*"=none')
    ('plan.overrides."a=b.*"', 'none')
    """
    cuts = [at for at, letter in enumerate(text) if letter == "="][:TRIES]
    if not cuts:
        return None
    at = next((cut for cut in cuts if _is_key(text[:cut])), cuts[0])
    return dotted(tuple(key_parts(text[:at].strip()))), text[at + 1 :].strip()


def _is_key(text: str) -> bool:
    try:
        key_parts(text.strip())
    except SettingsError:
        return False
    return True


def value_of(text: str) -> Any:
    """A value as TOML or, where it is none, as text.

    Raises:
        ValueError: it begins as TOML and does not end so.

    >>> value_of("3"), value_of("l2_sp"), value_of('"3"')
    (3, 'l2_sp', '3')
    """
    with suppress(ValueError, RecursionError):
        found = tomllib.loads(f"value = {text}")
        tomllib.loads(f"value = [{text}]")  # it is one value: neither a comment nor another key is behind it
        return found["value"]
    if text.startswith(BEGINS):
        raise ValueError(text)
    return text

"""Words of the command line that are more than one value: read as they stand, or refused with how to quote them."""

import ast
import tomllib
from typing import Any

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.expression import Unread, named, number, tree
from tether.settings import dotted, key_parts

PLAN = '--plan l2_sp, --plan "l2_sp(alpha=1)", or --set \'plan.transferred="L2(0.1) + L1(1e-4)"\''
TRIES = 8


def numbers(text: str) -> list[float]:
    """Read `0.5` or `0.485,0.456,0.406`.

    Raises:
        SettingsError: it is neither.

    >>> numbers("0.5,0.25")
    [0.5, 0.25]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(
            f"`{terminal(text)}` is not a number, nor numbers with commas between",
            why="each channel has one number",
            fix="--mean 0.485,0.456,0.406, without spaces",
        ) from None


def plan_words(text: str) -> dict[str, Any]:
    """Read a preset, with its arguments in parentheses if any.

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
    raise SettingsError(f"`--plan {terminal(text)}` is neither a preset nor a preset with arguments", why=why, fix=PLAN)


def _argument(node: ast.expr) -> float | str:
    if (value := number(node)) is not None:
        return float(value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise Unread(f"`{terminal(ast.unparse(node))}` is no number and no text in quotes")


def rename_pair(text: str) -> list[str]:
    """Read `REGEX=REPLACEMENT`.

    Raises:
        SettingsError: there is no `=`, or nothing before it.
    """
    pattern, equals, replacement = text.partition("=")
    if not equals or not pattern:
        what = "has nothing before its `=`" if equals else "has no `=`"
        raise SettingsError(
            f"`--rename {terminal(text)}` {what}",
            why="it is a regular expression, an equals sign, and what it becomes",
            fix="--rename '^encoder\\.=backbone.'",
        )
    return [pattern, replacement]


def setting(text: str) -> tuple[str, Any]:
    """Read `KEY=VALUE`: the key as TOML spells it, and the value as TOML or, where it is none, as text.

    Raises:
        SettingsError: there is no `=`, the key is none, or the value begins as TOML and does not end so.

    >>> setting("train.epochs=3"), setting('plan.overrides."a=b.*"=none')
    (('train.epochs', 3), ('plan.overrides."a=b.*"', 'none'))
    """
    cuts = [at for at, letter in enumerate(text) if letter == "="][:TRIES]
    if not cuts:
        raise SettingsError(
            f"`--set {terminal(text)}` has no `=`",
            why="it is a key of the spec, an equals sign, and a value; the shell parts words at spaces",
            fix="--set optimizer.warmup=0.2, or in quotes: --set 'data.path=my photos'",
        )
    at = next((cut for cut in cuts if _is_key(text[:cut])), cuts[0])
    key = dotted(tuple(key_parts(text[:at].strip())))
    return key, _value(key, text[at + 1 :].strip())


def _is_key(text: str) -> bool:
    try:
        key_parts(text.strip())
    except SettingsError:
        return False
    return True


def _value(key: str, text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
        tomllib.loads(f"value = [{text}]")  # it is one value: neither a comment nor another key is behind it
        return found["value"]
    except (ValueError, RecursionError):
        pass
    if text[:1] in ("'", '"', "[", "{"):
        raise SettingsError(
            f"the value of `--set {terminal(f'{key}={text}')}` begins as TOML and is none",
            why="a shell takes quotes away that are not in quotes themselves",
            fix=f"in a shell, put the whole in single quotes: {_quoted(key, text)}",
        )
    return text


def _quoted(key: str, text: str) -> str:
    example = {"[": '["a", "b"]', "{": '{"*.bias" = "none"}'}.get(text[0], '"some text"')
    return f"--set '{terminal(key)}={example}'"

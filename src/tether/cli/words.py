"""Words of the command line that are more than one value: read as they stand, or refused with how to quote them."""

from typing import Any

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.words import key_and_rest, plan_words, value_of

__all__ = ["numbers", "plan_words", "rename_pair", "setting"]


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
    if (parts := key_and_rest(text)) is None:
        raise SettingsError(
            f"`--set {terminal(text)}` has no `=`",
            why="it is a key of the spec, an equals sign, and a value; the shell parts words at spaces",
            fix="--set optimizer.warmup=0.2, or in quotes: --set 'data.path=my photos'",
        )
    key, rest = parts
    try:
        return key, value_of(rest)
    except ValueError:
        raise SettingsError(
            f"the value of `--set {terminal(f'{key}={rest}')}` begins as TOML and is none",
            why="a shell takes quotes away that are not in quotes themselves",
            fix=f"in a shell, put the whole in single quotes: {_quoted(key, rest)}",
        ) from None


def _quoted(key: str, text: str) -> str:
    example = {"[": '["a", "b"]', "{": '{"*.bias" = "none"}'}.get(text[0], '"some text"')
    return f"--set '{terminal(key)}={example}'"

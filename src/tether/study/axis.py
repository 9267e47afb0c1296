"""The words of an axis: `KEY=VALUE,VALUE`, where a value may hold commas within brackets and quotes."""

from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from tether.errors import SettingsError
from tether.escaping import terminal, toml_text
from tether.settings import dotted
from tether.words import key_and_rest, value_of

MOST_LETTERS = 10_000
CLOSES = {"(": ")", "[": "]", "{": "}"}
UNSET = "unset"


def read_axis(text: str) -> tuple[str, list[Any]]:
    """The key of an axis, and its values: each is TOML or, where it is none, text.

    Raises:
        SettingsError: there is no `=`, no key before it or no value after it, or a bracket or a quote stays open.

    >>> read_axis("plan=l2_sp(alpha=0.1,beta=0.01),l2")
    ('plan', ['l2_sp(alpha=0.1,beta=0.01)', 'l2'])
    >>> read_axis("optimizer.lr=1e-4,3e-4")
    ('optimizer.lr', [0.0001, 0.0003])
    """
    parts = key_and_rest(text) if len(text) <= MOST_LETTERS else None
    if parts is None:
        raise SettingsError(
            f"`--vary {terminal(text)}` has no `=`, or more than {MOST_LETTERS:,} letters",
            why="it is a key of the spec, an equals sign, and values with commas between",
            fix="--vary plan=none,l2,l2_sp, without spaces or in quotes",
        )
    key, rest = parts
    return key, [_value(key, piece.strip()) for piece in _pieces(key, rest)]


def axis_text(key: str, values: Sequence[Any]) -> str:
    """An axis in words, of which `read_axis` makes the same again.

    >>> axis_text("plan", ["l2", "l2_sp(alpha=0.1)"]), axis_text("data.path", ["a,b", "3"])
    ('plan=l2,l2_sp(alpha=0.1)', 'data.path="a,b","3"')
    """
    return f"{key}={','.join(map(value_text, values))}"


def value_text(value: Any) -> str:
    """A value in words: bare text where it stays one value and text, else TOML."""
    return value if isinstance(value, str) and _is_bare(value) else _toml(value)


def _value(key: str, text: str) -> Any:
    if not text:
        raise SettingsError(
            f"`--vary {terminal(key)}` has an empty value",
            why="nothing stands before, between or after its commas",
            fix=f'--vary {terminal(key)}=VALUE,VALUE, without spaces; an empty text is ""',
        )
    try:
        return value_of(text)
    except ValueError:
        raise SettingsError(
            f"the value `{terminal(text)}` of `--vary {terminal(key)}` begins as TOML and is none",
            why="a shell takes quotes away that are not in quotes themselves",
            fix=f"in a shell, put the whole in single quotes: --vary '{terminal(key)}=\"some text\",…'",
        ) from None


def _pieces(key: str, text: str) -> list[str]:
    """The parts between those commas that stand in no bracket and no quotes."""
    found, quote, is_escaped = [""], "", False
    opened: list[str] = []
    for letter in text:
        if letter == "," and not opened and not quote:
            found.append("")
            continue
        is_start = not found[-1].strip()
        found[-1] += letter
        if is_escaped:
            is_escaped = False
        elif quote:
            # between single quotes TOML escapes nothing, and an expression does
            is_escaped = letter == "\\" and (quote == '"' or opened[-1:] == [")"])
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (opened or is_start):
            quote = letter
        elif letter in CLOSES:
            opened.append(CLOSES[letter])
        elif letter in CLOSES.values() and (not opened or opened.pop() != letter):
            raise _unpaired(key, found[-1], letter)
    if quote or opened:
        raise _unpaired(key, found[-1], quote or opened[-1])
    return found


def _unpaired(key: str, piece: str, sign: str) -> SettingsError:
    return SettingsError(
        f"`--vary {terminal(key)}`: in `{terminal(piece)}` a `{sign}` has no other of its pair",
        why="brackets and quotes say which commas part values",
        fix=f"in a shell, put the whole in single quotes and the value in double: --vary '{terminal(key)}=\"…\"'",
    )


def _is_bare(text: str) -> bool:
    if not text or toml_text(text) != text or "\n" in text:
        return False
    try:
        return [_value("", piece) for piece in _pieces("", text)] == [text]
    except SettingsError:
        return False


def _toml(value: Any) -> str:
    """A value as TOML on one line."""
    if value is None:
        return UNSET
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{dotted((str(name),))} = {_toml(one)}' for name, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return toml_text(tomli_w.dumps({"a": value})).removeprefix("a = ").removesuffix("\n")
    return str(value)

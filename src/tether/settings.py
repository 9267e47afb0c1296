"""Settings as a tree: read from a TOML file, set by dotted keys, and bounded before anything else looks at them."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomli_w

from tether.errors import SettingsError
from tether.escaping import terminal, toml_text
from tether.regular import require_regular

MOST_BYTES = 256 * 1024
DEEPEST = 32
LONGEST_KEY = 1000
WHOLE = range(-(2**63), 2**63)  # what TOML promises to hold
BARE = re.compile(r"[A-Za-z0-9_-]+")
# more tables in one key than any setting has: the time to read such a key grows with the square of its length
LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){33}""")
HOLD = "`tether fit … --print-spec` shows a whole one"

Path_ = tuple[str | int, ...]


def read_toml(path: Path | str) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        SettingsError: it is absent, no regular file, too large, or no TOML; the message names it and the line.
    """
    require_regular(path, SettingsError, most=MOST_BYTES)
    text = _text(path)
    if LONG_KEY.search(text):
        raise SettingsError(
            f"`{terminal(path)}` has a key of more than {DEEPEST} tables", why="no setting lies so deep", fix=HOLD
        )
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError too
        raise _no_toml(path, _why(error)) from None


def _text(path: Path | str) -> str:
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(MOST_BYTES)
        if _is_wide(content):
            raise _no_toml(path, "it is UTF-16 and not UTF-8")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(
            f"there is no file `{terminal(path)}`",
            why="a word of the command line without a flag before it is the file of a spec",
            fix="give the path of a TOML spec, or settings as flags; what has spaces in it needs quotes",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"`{terminal(path)}` cannot be read", why=str(error.strerror), fix="give a TOML spec that you may read"
        ) from None
    except UnicodeDecodeError as error:
        raise _no_toml(path, f"byte {error.start + 1} is no UTF-8") from None


def _is_wide(content: bytes) -> bool:
    """Whether text is of two bytes a letter: it has the mark of it, or every second byte of its start is 0."""
    return content[:2] in (b"\xff\xfe", b"\xfe\xff") or content[:4:2] == b"\0\0" or content[1:4:2] == b"\0\0"


def _no_toml(path: Path | str, why: str) -> SettingsError:
    return SettingsError(f"`{terminal(path)}` is not TOML", why=why, fix=f"save it as TOML in UTF-8; {HOLD}")


def _why(error: Exception) -> str:
    if isinstance(error, tomllib.TOMLDecodeError):
        again = "a key or a table is there twice: " if "overwrite" in str(error) or "twice" in str(error) else ""
        return f"{again}{terminal(str(error))}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number in it has too many digits"


def key_parts(key: str) -> list[str]:
    """The names in a dotted key, of which one in quotes may hold dots of its own.

    Raises:
        SettingsError: it is no such key.

    >>> key_parts('plan.overrides."*.bias"')
    ['plan', 'overrides', '*.bias']
    """
    if len(key) > LONGEST_KEY or LONG_KEY.search(key):
        raise SettingsError(f"`{terminal(key)}` is no key of a setting", why="it is too long for one", fix=HOLD)
    if "\n" not in key:
        with suppress(tomllib.TOMLDecodeError):
            zero, one = (tomllib.loads(f"{key} = {value}") for value in (0, 1))
            if zero != one:  # else the key has a value or a comment in it
                return _only_path(zero)
    parts = key.split(".")
    odd = next((at for at, part in enumerate(parts) if not BARE.fullmatch(part)), len(parts))
    quoted = ".".join([*parts[:odd], f'"{".".join(parts[odd:])}"'])
    raise SettingsError(
        f"`{terminal(key)}` is no key of a setting",
        why='a name with other signs than letters, digits, "-" and "_" stands in double quotes',
        fix=f"in a shell, put the whole in single quotes: --set '{terminal(quoted)}=…'",
    )


def _only_path(tree: dict[str, Any]) -> list[str]:
    path: list[str] = []
    found: Any = tree
    while isinstance(found, dict):
        ((name, found),) = found.items()
        path.append(name)
    return path


def dotted(path: Path_) -> str:
    """The names of a path in a tree as a dotted key, as TOML writes it; positions in a list are left out.

    >>> dotted(("plan", "overrides", "*.bias")), dotted(("preprocessing", "mean", 1))
    ('plan.overrides."*.bias"', 'preprocessing.mean')
    """
    return ".".join(part if BARE.fullmatch(part) else _quoted(part) for part in path if isinstance(part, str))


def _quoted(name: str) -> str:
    """A name as TOML quotes it, with its control signs spelled out."""
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n") if name else '""'


def with_settings(tree: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a tree with dotted settings on top.

    Raises:
        SettingsError: a key is none, or leads through a value.
    """
    changed = dict(tree)
    for key, value in settings.items():
        *tables, leaf = key_parts(key)
        table = changed
        for name in tables:
            inner = table.get(name, {})
            if not isinstance(inner, Mapping):
                raise SettingsError(
                    f"`{terminal(key)}`: `{terminal(name)}` is a value, not a table",
                    why="only a table has settings of its own",
                    fix=f"leave out what follows `{terminal(name)}`",
                )
            table[name] = dict(inner)
            table = table[name]
        table[leaf] = value
    return changed


def refuse_unbounded(tree: Mapping[str, Any], origin: str) -> None:
    """Refuse what no spec can hold, whatever the setting.

    Raises:
        SettingsError: tables within tables without end, a whole number beyond 64 bits, or text that is no UTF-8.
    """
    for path, value in walk(tree):
        why = _unbounded(path, value)
        if why:
            raise SettingsError(
                f"{origin}: `{terminal(dotted(path[:4]))}` cannot be held", why=why, fix="write another value"
            )


def walk(tree: Any) -> Iterator[tuple[Path_, Any]]:
    """Every value of a tree with its path, down to one level more than a spec may have."""
    left: list[tuple[Path_, Any]] = [((), tree)]
    while left:
        path, value = left.pop()
        yield path, value
        if len(path) > DEEPEST:
            continue
        if isinstance(value, Mapping):
            left += [((*path, str(key)), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            left += [((*path, at), inner) for at, inner in enumerate(value)]


def _unbounded(path: Path_, value: Any) -> str:
    if len(path) > DEEPEST:
        return f"it lies deeper than {DEEPEST} tables"
    texts = [part for part in (*path[-1:], value) if isinstance(part, str)]
    if any("\0" in text for text in texts):
        return "it has a NUL in it, which no path and no name may have"
    if any("\ud800" <= letter <= "\udfff" for text in texts for letter in text):
        return "it is no UTF-8, and a spec is a file in UTF-8"
    if type(value) is int and value not in WHOLE:
        return "a whole number in TOML has 64 bits"
    return ""


def to_toml(tree: Mapping[str, Any]) -> str:
    """TOML of a tree; reading it gives an equal one, and nothing in it is unseen."""
    return toml_text(tomli_w.dumps(_plain(tree)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value

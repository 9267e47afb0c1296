"""Refusal: what a model of settings says against a tree, as one error in the user's words."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from reprlib import Repr
from typing import Any

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.fields import Field
from tether.registry import did_you_mean
from tether.settings import Path_, dotted

SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 60


def refusal(
    known: Mapping[str, Field],
    tree: Mapping[str, Any],
    found: Sequence[Mapping[str, Any]],
    *,
    origin: str,
    typed: Mapping[str, str],
) -> SettingsError:
    """Tell the first of the errors that pydantic found in a tree, and how many more there are.

    Args:
        known: the fields of the model.
        origin: the file, or whatever the tree came from.
        typed: how a setting was spelled on the command line, by its key.
    """
    first = found[0]
    path = _path(tree, first["loc"])
    more = len({(_path(tree, one["loc"]), one["loc"][-1] if one["type"] == "missing" else "") for one in found}) - 1
    also = f" (and {more} more)" if more else ""
    if first["type"] == "extra_forbidden":
        return _unknown(known, path, f"{origin}: there is no setting `{terminal(dotted(path))}`{also}")
    if first["type"] == "missing" and isinstance(first["loc"][-1], str):
        return _missing(known, (*path, first["loc"][-1]), origin, also)
    return _wrong(known, path, tree, origin, typed, also)


def spelled(path: Path_, origin: str, typed: Mapping[str, str]) -> str:
    """A setting as the user wrote it: a flag, or a key of the file."""
    for end in range(len(path), 0, -1):
        if word := typed.get(dotted(path[:end])):
            return f"`{terminal(word)}`{_item(path)}"
    within = next((word for key, word in typed.items() if key.startswith(f"{dotted(path)}.")), None)
    if within:
        return f"`{terminal(within)}`: `{terminal(dotted(path))}`"
    return f"{origin}: `{terminal(dotted(path))}`{_item(path)}"


def _item(path: Path_) -> str:
    return "".join(f", item {part + 1}," for part in path if isinstance(part, int))


def _path(tree: Any, loc: Sequence[str | int]) -> Path_:
    """The part of pydantic's location that is in the tree; the rest names types."""
    path: list[str | int] = []
    for part in loc:
        is_item = isinstance(tree, list | tuple) and isinstance(part, int) and part < len(tree)
        if not is_item and not (isinstance(tree, Mapping) and part in tree):
            break
        tree = tree[part]
        path.append(part)
    return tuple(path)


def _unknown(known: Mapping[str, Field], path: Path_, what: str) -> SettingsError:
    *section, leaf = map(str, path)
    prefix = "".join(f"{name}." for name in section)
    beside = [key.removeprefix(prefix) for key in known if key.startswith(prefix) and key != prefix]
    beside = [name for name in beside if "." not in name]
    elsewhere = [key for key in known if key.rpartition(".")[2] == leaf]
    fix = f"did you mean `{elsewhere[0]}`?" if elsewhere else did_you_mean(leaf, beside)
    return SettingsError(what, why="a setting that nothing reads would change nothing without a word", fix=fix)


def _missing(known: Mapping[str, Field], path: Path_, origin: str, also: str) -> SettingsError:
    section, field = str(path[0]), known[dotted(path)]
    return SettingsError(
        f"{origin}: `{dotted(path)}` must be given{also}",
        why=field.says[:1].lower() + field.says[1:],
        fix=f"--{section}, or [{section}] in the spec",
    )


def _wrong(
    known: Mapping[str, Field], path: Path_, tree: Any, origin: str, typed: Mapping[str, str], also: str
) -> SettingsError:
    value = tree
    for part in path:
        value = value[part]
    field = next(known[key] for end in range(len(path), 0, -1) if (key := dotted(path[:end])) in known)
    is_section = field.takes == "a table" and "." not in field.key
    takes = f"a table of settings, [{field.key}]" if is_section else field.takes
    return SettingsError(
        f"{spelled(path, origin, typed)} is {shown(value)}{also}",
        why=f"it takes {takes}" + (f": {field.says}" if field.says and not is_section else ""),
        fix=_fix(field, path, typed, is_section=is_section),
    )


def _fix(field: Field, path: Path_, typed: Mapping[str, str], *, is_section: bool) -> str:
    section, _, leaf = field.key.rpartition(".")
    if is_section:
        return f"write [{field.key}] on a line of its own, and its settings below"
    word = typed.get(field.key, "")
    flag, space, _ = word.partition(" ")
    if space:  # --set and --vary take the key too
        return f"{flag} '{field.key}={field.example}', or leave it out"
    if word:
        return f"{word} {field.example.strip('[]').replace(', ', ',')}, or leave it out"
    where = f" under [{section}]" if section else ""
    return f"`{leaf} = {field.example}`{where}" + ("" if field.required else ", or leave it out")


def shown(value: Any) -> str:
    """A value for an error: short, and in the words of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, date | datetime | time):
        return f"the date or time {value.isoformat()}"
    return "empty" if value == "" else terminal(SHORT.repr(value))

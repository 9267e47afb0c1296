"""Names: what a class may be called, and which names are too much alike."""

import unicodedata
from collections.abc import Callable, Iterable

from tether.errors import DataError
from tether.escaping import terminal

LONGEST = 255
JOINERS = "\u200c\u200d"
UNSEEN = frozenset({"Cc", "Cs", "Cf", "Zl", "Zp"})


def odd(name: str) -> str:
    """Say what keeps a name from being that of a class; nothing where it may be one.

    >>> odd("Käfer 2"), odd("a" * 300)
    ('', 'it has 300 characters, and at most 255 are shown anywhere')
    """
    if len(name) > LONGEST:
        return f"it has {len(name):,} characters, and at most {LONGEST} are shown anywhere"
    hidden = next((c for c in name if unicodedata.category(c) in UNSEEN and c not in JOINERS), None)
    if hidden is None:
        return ""
    if unicodedata.category(hidden) == "Cs":
        return "it is not UTF-8, so no table, page or model card could hold it"
    return f"it holds {unicodedata.name(hidden, f'the control character U+{ord(hidden):04X}')}, which is not seen"


def checked(classes: Iterable[str], where: Callable[[str], str]) -> list[str]:
    """Return a sentence on classes that differ in little, if there are such.

    Args:
        where: names the folder or the line of a class, as an error begins.

    Raises:
        DataError: a name cannot be shown, or two look the same.
    """
    classes = sorted(classes)
    for name in classes:
        if why := odd(name):
            raise DataError(
                f"{where(name)}: `{terminal(name)}` cannot be the name of a class", why=why, fix="rename it"
            )
    if same := _alike(classes, _seen):
        first, second = map(terminal, same[0])
        raise DataError(
            f"{where(same[0][1])}: the classes `{first}` and `{second}` look the same",
            why="they differ in how the same letters are stored, or in space, so one class would be learned as two",
            fix="give both one name",
        )
    pairs = [f"`{terminal(first)}` and `{terminal(second)}`" for first, second in _alike(classes, _plain)]
    more = f", and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    return [f"Classes that differ only in case or width are kept apart: {pairs[0]}{more}."] if pairs else []


def _alike(classes: list[str], key: Callable[[str], str]) -> list[tuple[str, str]]:
    first: dict[str, str] = {}
    return [(kept, name) for name in classes if (kept := first.setdefault(key(name), name)) != name]


def _seen(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name.translate(dict.fromkeys(map(ord, JOINERS)))).split())


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", _seen(name)).casefold()

r"""Escaping: names come from files that anyone may have made; here each becomes safe for the place where it is shown.

Whatever a reader cannot see, and whatever moves a cursor, is written out as in a Python string: `\n`, `\x1b`, `\u202e`.
So a name stays in the line that it is named in. Text that is escaped already stays as it is.
"""

import html as markup
import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any
from unicodedata import category

LONGEST, HEAD, TAIL = 300, 200, 99
MARKS = 4  # of one letter; more of them are drawn over the lines above and below
FORMULA = tuple("=+-@＝＋－＠")
# drawn as nothing, and printable all the same
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def printable(text: str) -> str:
    r"""One line of what can be seen, for a text of any length.

    >>> print(printable("caf\u00e9 \x1b[2J\nerror: \u202e"))
    café \x1b[2J\nerror: \u202e
    """
    return text if text.isascii() and text.isprintable() else "".join(_spelled(text))


def terminal(name: str | PurePath) -> str:
    r"""A name for a line on a terminal or in an error; a very long one loses its middle.

    >>> print(terminal("cat\r\x1b[A"), len(terminal("a" * 10_000)))
    cat\r\x1b[A 300
    """
    text = printable(str(name))
    return text if len(text) <= LONGEST else f"{text[:HEAD]}…{text[-TAIL:]}"


def markdown(name: str | PurePath) -> str:
    r"""A name as code, which no Markdown reads further: no table cell ends in it, no link or HTML begins.

    >>> print(markdown("a|b`c"), markdown("<b>"))
    `a\x7cb\x60c` `<b>`
    """
    text = terminal(name).replace("`", r"\x60").replace("|", r"\x7c")
    return f"`{text or ' '}`"


def html(name: str | PurePath) -> str:
    """A name for HTML or SVG, in text and in a quoted attribute; a template that escapes by itself takes `terminal`.

    >>> html('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return markup.escape(terminal(name), quote=True)


def figure(name: str | PurePath) -> str:
    r"""A name for a text in a figure, where two `$` would make mathematics.

    >>> print(figure("$a$"))
    \$a\$
    """
    return terminal(name).replace("$", r"\$")


def cell(name: str | PurePath) -> str:
    """A name for a cell of CSV: what a spreadsheet would compute gets an apostrophe before it (OWASP, CSV injection).

    >>> cell("=1+1"), cell("cat")
    ("'=1+1", 'cat')
    """
    text = printable(str(name))
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""JSON that reads back equal; what cannot be seen or is no UTF-8 stands as `\uXXXX`, other letters as they are.

    Raises:
        ValueError: a number is not finite.

    >>> print(json_text({"é": "\u2028\udcff"}))
    {"é": "\u2028\udcff"}
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return "".join(c if _is_seen(c) or c == "\n" else _in_json(c) for c in text)


def toml_text(text: str) -> str:
    r"""TOML in which what cannot be seen stands as an escape; TOML has such letters within double quotes only.

    >>> print(toml_text('name = "\u202eabc"'))
    name = "\u202eabc"
    """
    return "".join(c if _is_seen(c) or c == "\n" else _in_toml(c) for c in text)


def _spelled(text: str) -> Iterator[str]:
    marks = MARKS  # one at the start would be drawn over what stands before the name
    for letter in text:
        marks = marks + 1 if category(letter) in ("Mn", "Me") else 0
        seen = _is_seen(letter) and marks <= MARKS
        yield letter if seen else letter.encode("unicode_escape").decode("ascii")


def _in_json(letter: str) -> str:
    return rf"\u{ord(letter):04x}" if ord(letter) < 2**16 else json.dumps(letter)[1:-1]


def _in_toml(letter: str) -> str:
    return rf"\u{ord(letter):04x}" if ord(letter) < 2**16 else rf"\U{ord(letter):08x}"


def _is_seen(letter: str) -> bool:
    return letter.isprintable() and (letter.isascii() or not UNSEEN.match(letter))

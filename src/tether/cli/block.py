"""A refusal as one block: error, why, fix; and which exception is whose fault."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from tether.errors import MachineError, SettingsError, TetherError, ThreeLines
from tether.escaping import printable, terminal
from tether.files import DISK_FAILURES, write_refusal
from tether.memory import is_out_of_memory
from tether.refusal import shown

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
BOUNDS = {
    "greater_than_equal": "a number from {ge} on",
    "less_than_equal": "a number up to {le}",
    "greater_than": "a number above {gt}",
    "less_than": "a number below {lt}",
    "finite_number": "a finite number",
}


def block(error: ThreeLines, label: str = "error") -> str:
    r"""Render what stopped a command, each part in one line; what could move the cursor or begin a line is escaped.

    >>> print(block(TetherError("no file `a\x1b[2J`", why="it is\nerror: forged", fix="ls")))
    error: no file `a\x1b[2J`
    why: it is\nerror: forged
    fix: ls
    """
    lines = ((label, error.what), ("why", error.why), ("fix", error.fix))
    return "\n".join(f"{name}: {printable(text)}" for name, text in lines if text)


def usage_refusal(error: Any, command: str) -> SettingsError:
    """Turn a usage error of the command line's library into ours, with the nearest option or where to read on."""
    read_on = f"`{command} --help` shows what it takes"
    if type(error).__name__ == "NoSuchOption" and error.ctx:
        near = _near(error.option_name, _options(error.ctx))
        return SettingsError(
            f"there is no option `{terminal(error.option_name)}`",
            why="an option that nothing reads would change nothing without a word",
            fix=near or read_on,
        )
    if misread := _misread(error):
        option, value, takes = misread
        return SettingsError(f"`{option}` is {shown(value)}", why=f"it takes {takes}", fix=read_on)
    what = " ".join(error.format_message().split()).rstrip(".")
    return SettingsError(terminal(f"{what[:1].lower()}{what[1:]}"), why=_usage(error), fix=read_on)


def _misread(error: Any) -> tuple[str, Any, str] | None:
    """The option, its value and what it takes, where the library could not read a value."""
    found: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if not found or getattr(error, "param", None) is None:
        return None
    kind, bounds = found[0]["type"], found[0].get("ctx", {})
    takes = KINDS.get(kind.partition("_")[0]) or BOUNDS.get(kind, "another value").format(**bounds)
    return error.param.opts[-1], found[0]["input"], takes


def _usage(error: Any) -> str:
    """Why the library refuses, in words."""
    if type(error).__name__ in ("MissingParameter", "BadOptionUsage", "BadArgumentUsage"):
        return "the command cannot be carried out without it"
    return "words are read one by one: what has spaces in it needs quotes, as in --set 'data.path=my photos'"


def machine_failure(error: Exception) -> TetherError | None:
    """Say which part of the machine failed, or None where it is not the machine's fault."""
    if isinstance(error, OSError) and error.errno in DISK_FAILURES and error.filename is None:
        return MachineError(
            f"what is shown could not be written: {error.strerror}",
            why="the place that standard output goes to is full or broken",
            fix="send it elsewhere",
        )
    if isinstance(error, OSError) and error.errno in DISK_FAILURES:
        return write_refusal(error, error.filename)
    if is_out_of_memory(error):
        return MachineError(
            f"out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            why="the model and one batch do not fit",
            fix="a smaller `train.batch_size` or `preprocessing.size`, or a machine with more memory",
        )
    return None


def _options(context: Any) -> list[str]:
    params = context.command.get_params(context)
    return [name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("-")]


def _near(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""

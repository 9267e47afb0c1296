"""The root of the command line: its commands, its errors as one block, its exit codes."""

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any, TextIO

import typer

from tether import __version__
from tether.cli.block import block, machine_failure, usage_refusal
from tether.errors import Interrupted, Notice, SettingsError, TetherError, ThreeLines
from tether.escaping import printable
from tether.registry import did_you_mean

# name → where its function is, in the order of the help; such a module imports torch inside its functions only
COMMANDS: dict[str, str] = {
    "demo": "tether.cli.demo:demo",
    "fit": "tether.cli.fit:fit",
    "study": "tether.cli.study:study",
    "match": "tether.cli.match:match",
    "plan": "tether.cli.plan:plan",
    "audit": "tether.cli.audit:audit",
    "report": "tether.cli.report:report",
    "evaluate": "tether.cli.evaluate:evaluate",
    "predict": "tether.cli.predict:predict",
}

INTERRUPTED = 130
UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # some versions of typer carry their own click


def build(commands: dict[str, str]) -> typer.Typer:
    """Make the application from a table of `name → module:function`."""
    app = typer.Typer(
        name="tether",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(_root)
    for name, home in commands.items():
        module, _, function = home.partition(":")
        app.command(name)(_carried(getattr(import_module(module), function)))
    return app


def run(arguments: Sequence[str], commands: dict[str, str]) -> int:
    """Run one command and return its exit code; what goes wrong is one block on stderr."""
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        warnings.showwarning = _note
        return _run(name, arguments, commands)


def _run(name: str, arguments: Sequence[str], commands: dict[str, str]) -> int:
    try:
        _check_command(name, commands)
        code = build(commands)(list(arguments), prog_name="tether", standalone_mode=False)
        return _ended(code if isinstance(code, int) else 0)
    except TetherError as error:
        return _refuse(error)
    except UsageError as error:
        return _refuse(usage_refusal(error, f"tether {name}".strip()))
    except _Stopped as stopped:
        return _refuse(stopped.interrupted, "interrupted")
    except (KeyboardInterrupt, typer.Abort):
        return _ended(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last place to tell the machine's fault from a bug
        failure = machine_failure(error)
        return _refuse(failure) if failure else _confess()


def main() -> None:
    """Run the command line of this process; a terminal that lacks a letter is shown its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:], COMMANDS))


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Fine-tune a pretrained model while holding it to its source, and show what the penalty did."""
    if version:
        typer.echo(f"tether {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _check_command(name: str, commands: dict[str, str]) -> None:
    if name and name not in commands:
        raise SettingsError(
            f"there is no command `{name}`",
            why="the first word without a dash is the command",
            fix=did_you_mean(name, commands),
        )


def _refuse(error: ThreeLines, label: str = "error") -> int:
    typer.echo(block(error, label), err=True)
    return error.exit_code


def _ended(code: int) -> int:
    if code == INTERRUPTED:
        typer.echo("interrupted", err=True)
    return code


class _Stopped(Exception):
    """Carries an interruption through the command line's library, which knows its own way with those."""

    def __init__(self, interrupted: Interrupted) -> None:
        super().__init__()
        self.interrupted = interrupted


def _carried(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def carried(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Interrupted as error:
            raise _Stopped(error) from None

    return carried


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    shown = str(message) if issubclass(category, Notice) else f"{category.__name__}: {message}"
    typer.echo(f"note: {printable(shown)}", err=True)


def _confess() -> int:
    traceback.print_exc()
    typer.echo(f"error: this is a bug in Tether {__version__}: please report it with the lines above", err=True)
    return 1

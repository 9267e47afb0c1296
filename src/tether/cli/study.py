"""`tether study`: what the penalty does on one's own data, compared under paired seeds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tether.cli.flags import takes_spec
from tether.errors import SettingsError
from tether.escaping import terminal
from tether.spec import RunSpec

FAILED = 4
T = TypeVar("T")


@takes_spec
def study(
    spec: RunSpec,
    out: Annotated[
        Path | None, typer.Option(help="The study's folder: new, or this study's.", show_default=False)
    ] = None,
    vary: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE,VALUE; plan takes presets.", show_default=False, metavar="AXIS")
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many, or which: 10, or 3,5,8.")] = "10",
    fractions: Annotated[
        str | None, typer.Option(help="Shares of the training pictures.", show_default=False, metavar="X,X")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(help="KEY=LOW..HIGH, chosen on validation.", show_default=False, metavar="RANGE"),
    ] = None,
    trials: Annotated[str, typer.Option(help="Of a search, for every method.", metavar="N")] = "20",
    jobs: Annotated[
        str | None, typer.Option(help="Processes of one thread each.", show_default="cores", metavar="N")
    ] = None,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Only what is varied, no scratch, probe, …")
    ] = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Print how many runs, how long, and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line for each run.")] = False,
) -> None:
    """Compare plans on your data, under paired seeds and beside the baselines; the same command goes on.

    \b
    tether study --model digits-cnn --source mnist --data digits --vary plan.scale=0.1,1,10 --out s
    tether study flowers.toml --vary plan=none,l2,l2_sp --search plan.scale=0.01..100 --out s
    """
    from tether.study.axis import read_axis
    from tether.study.space import read_range
    from tether.study.study import Study

    asked = Study(
        spec,
        _once("--vary", map(read_axis, vary or ())),
        seeds=_seeds(seeds),
        fractions=_shares(fractions) if fractions is not None else (),
        baselines=not no_baselines,
        search=_once("--search", map(read_range, search or ())),
        trials=_count("--trials", trials),
    )
    workers = _count("--jobs", jobs) if jobs is not None else None
    if plan_only:
        typer.echo(asked.plan(out, jobs=workers))
        return
    if out is None:
        raise SettingsError(
            "a study needs a folder",
            why="its runs are kept there, and the same command goes on with them",
            fix="--out runs/study, or --plan-only for how long it would take",
        )
    from tether.report.write import write_report

    found = asked.run(out, jobs=workers, told=None if quiet else _told)
    written = write_report(found, out)
    typer.echo(str(found))
    typer.echo("".join(f"written: {terminal(path)}\n" for path in written), nl=False)
    if found.failed:
        raise typer.Exit(FAILED)


def _once(flag: str, pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Keys and their values, each key once."""
    found: dict[str, T] = {}
    for key, value in pairs:
        if key in found:
            raise SettingsError(
                f"`{flag} {terminal(key)}` is given twice",
                why="which values are meant is not for Tether to guess",
                fix=f"give `{flag} {terminal(key)}` once, with all of its values",
            )
        found[key] = value
    return found


def _told(line: str) -> None:
    typer.echo(line, err=True)


def _seeds(text: str) -> range | list[int]:
    """Read `10`, which is 0 to 9, or `3,5,8`."""
    if "," not in text:
        return range(_count("--seeds", text))
    return [_whole("--seeds", part) for part in text.strip(",").split(",")]


def _shares(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(
            f"`--fractions {terminal(text)}` is no list of numbers",
            why="each is a share of the training pictures, above 0 and up to 1",
            fix="--fractions 0.05,0.15,0.3,1, without spaces",
        ) from None


def _count(flag: str, text: str) -> int:
    found = _whole(flag, text)
    if found < 1:
        raise SettingsError(f"`{flag}` is {found}", why="there is one at least", fix=f"{flag} 1, or more")
    return found


def _whole(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(
            f"`{flag} {terminal(text)}` is not a whole number", why="it is a number, in digits", fix=f"{flag} 10"
        ) from None

"""`tether report`: what a study has found, as a page, as Markdown and as JSON."""

from pathlib import Path
from typing import Annotated

import typer

from tether.escaping import terminal


def report(
    study: Annotated[Path, typer.Argument(help="The folder of a study.")],
    against: Annotated[
        str | None,
        typer.Option(
            help="The method that all others are compared with.", show_default="plain fine-tuning", metavar="METHOD"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="One new file: .html, .md or .json.", show_default="all, in the study", metavar="FILE"),
    ] = None,
) -> None:
    """Tell what a study has found so far: in words here, and as a page that opens without network.

    \b
    tether report runs/flowers-study
    tether report runs/flowers-study --against l2 --out flowers.html
    """
    from tether.report.write import check_place, write_one, write_report
    from tether.study.gather import read_study

    if out is not None:
        check_place(out)
    found = read_study(study, against)
    if out is None:
        written = write_report(found, study)
    else:
        write_one(found, study, out)
        written = [out]
    typer.echo(str(found))
    typer.echo("".join(f"written: {terminal(path)}\n" for path in written), nl=False)

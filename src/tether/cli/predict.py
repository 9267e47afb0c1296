"""`tether predict`: classes of pictures as CSV."""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of a fit.")],
    pictures: Annotated[list[Path], typer.Argument(help="Files, or folders of pictures.")],
    out: Annotated[Path | None, typer.Option(help="CSV file.", show_default="standard output")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable pictures out.")] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the code that the run names as its network.")
    ] = False,
) -> None:
    """Classify pictures with the model of a run: CSV of path, class, probability, each in quotes.

    A name that a spreadsheet would compute has an apostrophe before it; what cannot be seen is spelled out.

    \b
    tether predict runs/flowers photos/ > classes.csv
    tether predict runs/latest one.jpg another.png --out classes.csv
    """
    from tether.engine.predict import predict as classify
    from tether.escaping import cell
    from tether.files import require_new, write_durably

    if out is not None:
        require_new(out)
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["path", "class", "probability"])
    for found in classify(run, pictures, skip_bad=skip_bad, trust_code=trust_code):
        writer.writerow([cell(found.path), cell(found.label), f"{found.probability:.4f}"])
    if out is None:
        typer.echo(text.getvalue(), nl=False)
    else:
        write_durably(out, text.getvalue())

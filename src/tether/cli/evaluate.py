"""`tether evaluate`: measure a finished run again, or on other data."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder of a fit.")],
    data: Annotated[
        str | None, typer.Option(help="Labelled pictures with the run's classes.", show_default="its test part")
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable pictures out.")] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the code that the run names as its network.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the model of a run on its own test pictures, or on others.

    \b
    tether evaluate runs/flowers
    tether evaluate runs/flowers --data more-flowers/ --json
    """
    import json

    from tether.engine.measure import measure

    scores = measure(run, data, skip_bad=skip_bad, trust_code=trust_code)
    typer.echo(json.dumps(scores.to_json()) if as_json else str(scores))

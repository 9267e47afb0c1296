"""`tether audit`: whether a run did what its spec says, and its pulls are delivered."""

from pathlib import Path
from typing import Annotated

import typer


def audit(
    run: Annotated[Path, typer.Argument(help="Run folder of a fit.")],
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the code that the run names as its network.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every row.")] = False,
) -> None:
    """Check that a run is what its spec and its source say, and that each pull arrives in a real step.

    Exit code 2 where one check fails. What needs data or a source that is gone is listed as not checked.

    \b
    tether audit runs/flowers
    tether audit runs/latest --json > audit.json
    """
    from tether.engine.audit_run import audit_run
    from tether.escaping import json_text

    found = audit_run(run, trust_code=trust_code)
    typer.echo(json_text(found.to_json()) if as_json else str(found))
    if not found.passed:
        raise typer.Exit(2)

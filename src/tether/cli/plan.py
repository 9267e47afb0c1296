"""`tether plan`: every parameter's fate before a run; trains nothing."""

import typer

from tether.cli.flags import takes_spec
from tether.spec import RunSpec


@takes_spec
def plan(spec: RunSpec) -> None:
    """Show each tensor's fate, penalty, reference, strength and rate, and the total pull; nothing is trained.

    \b
    tether plan flowers.toml
    tether plan --model digits-cnn --source mnist --data digits --per-class 10 --plan differential_l2
    """
    from tether.engine.preview import preview

    typer.echo(str(preview(spec)))

"""`tether fit`: fine-tune, or train from scratch where no source is given."""

from pathlib import Path
from typing import Annotated

import typer

from tether.cli.flags import takes_spec
from tether.errors import SettingsError
from tether.spec import RunSpec


@takes_spec
def fit(
    spec: RunSpec,
    out: Annotated[
        Path | None, typer.Option(help="Run folder, which must not exist.", show_default="runs/TIME")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    print_spec: Annotated[bool, typer.Option("--print-spec", help="Print the whole spec and stop.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Not yet: refuses.", show_default=False)] = None,
) -> None:
    """Fine-tune a model while holding it to its source; without --source, train one from scratch.

    \b
    tether fit --model timm:tf_efficientnet_lite0 --source efficientnet-lite0 --data photos/ --probe
    tether fit flowers.toml --plan "l2_sp(alpha=1)" --out runs/flowers
    """
    if resume is not None:
        raise SettingsError(
            f"`--resume {resume}`: this version cannot resume a run",
            why="a resume that is not exact would change the result without a word",
            fix=f"run again from its spec: tether fit {resume / 'spec.toml'} --out …",
        )
    if print_spec:
        typer.echo(spec.to_toml(), nl=False)
        return
    from tether.engine.loop import fit as run

    record = run(spec, out, quiet=quiet or None)
    assert record.folder is not None
    typer.echo(f"{(record.folder / 'tether.txt').read_text(encoding='utf-8')}\n{record}")

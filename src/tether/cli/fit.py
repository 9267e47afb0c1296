"""`tether fit`: fine-tune, or train from scratch where no source is given; or go on with a run that was cut."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from tether.cli.flags import beside_resume, takes_spec
from tether.errors import SettingsError
from tether.escaping import printable
from tether.spec import RunSpec


@takes_spec
def fit(
    spec: RunSpec | None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder, new, or of this spec and cut. [runs/TIME]", show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    print_spec: Annotated[bool, typer.Option("--print-spec", help="Print the whole spec and stop.")] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a run that was cut, by its own spec.", show_default=False)
    ] = None,
    trust_code: bool = False,
) -> None:
    """Fine-tune a model while holding it to its source; without --source, train one from scratch.

    \b
    tether fit --model timm:resnet18 --source timm:resnet18 --data photos/ --out runs/photos
    tether fit --resume runs/photos
    """
    if resume is not None and (spec is not None or out is not None or print_spec):
        raise beside_resume(resume)
    if print_spec and spec is not None:
        typer.echo(spec.to_toml(), nl=False)
        return
    from tether.engine import fit as engine

    if resume is not None:
        record = engine.resume(resume, trust_code=trust_code, quiet=quiet or None)
    elif spec is not None:
        record = engine.fit(spec, out, quiet=quiet or None)
    else:
        raise SettingsError(
            "there is nothing to fit",
            why="neither a spec nor --model and --data are given",
            fix="tether fit --model digits-cnn --data digits --source mnist, or `tether fit --help`",
        )
    assert record.folder is not None
    if os.environ.get("RANK", "0") != "0":  # the first of several processes tells
        return
    notes = json.loads((record.folder / "split.json").read_text(encoding="utf-8"))["notes"]
    typer.echo(f"{(record.folder / 'tether.txt').read_text(encoding='utf-8')}\n{record}")
    typer.echo("".join(f"data: {printable(note)}\n" for note in notes), nl=False)

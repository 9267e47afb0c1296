"""`tether demo`: the article's question on real digits, in under a minute and without network."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the picture, which must not exist.")] = Path(
        "runs/demo"
    ),
    seeds: Annotated[int, typer.Option(help="Reported seeds.", min=2, max=100)] = 5,
) -> None:
    """Fine-tune an MNIST model to scikit-learn's digits, 2 a class, with five methods, and say what came out.

    \b
    tether demo
    tether demo --seeds 10 --out runs/demo-10
    """
    from tether.demo.run import demo as run
    from tether.escaping import terminal

    typer.echo(f"{run(out, seeds=seeds)}\n\nruns, figures and picture: {terminal(out)}")

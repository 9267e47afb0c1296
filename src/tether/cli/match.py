"""`tether match`: what would transfer, what would be new, and why; nothing is changed."""

from pathlib import Path
from typing import Annotated

import typer

from tether.errors import SettingsError


def match(
    source: Annotated[str, typer.Argument(help="Checkpoint, run folder, timm:NAME, or a catalogued name.")],
    into: Annotated[str, typer.Option(help="The target network, as --model of fit.")],
    classes: Annotated[
        str, typer.Option(help="Number of target classes, or a file of their names.", show_default=False)
    ],
    channels: Annotated[int | None, typer.Option(help="Of the pictures.", show_default="the network's")] = None,
    by: Annotated[str | None, typer.Option(help="name or order.", show_default="name")] = None,
    rename: Annotated[
        list[str] | None, typer.Option(help="REGEX=REPLACEMENT for source names.", show_default=False)
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Glob of parameters that stay new.", show_default=False)
    ] = None,
    coverage: Annotated[float, typer.Option(help="Least share of the model that must transfer.")] = 0.5,
    source_classes: Annotated[
        str | None, typer.Option(help="File of the source's class names.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the match as JSON too.", show_default=False)] = None,
) -> None:
    """Show what would transfer from a source into a network, what would be new, and why.

    \b
    tether match resnet50.safetensors --into timm:resnet50 --classes 102
    tether match efficientnet-lite0 --into timm:tf_efficientnet_lite0 --classes names.txt --by order
    """
    from tether.checkpoint.resolve import load
    from tether.cli.words import rename_pair
    from tether.engine.source import read_classes
    from tether.escaping import json_text
    from tether.files import require_new, write_durably
    from tether.matching.match import match as find
    from tether.models.build import build
    from tether.spec import ModelSpec

    if by not in (None, "name", "order"):
        raise SettingsError(
            f"`--by {by}`: pair by `name` or by `order`",
            why="tensors are paired by what they are called or by where they stand",
            fix="--by name, or --by order where the names differ and the tensors are the same",
        )
    if out is not None:
        require_new(out)
    names = _classes(classes) if classes.isdecimal() else read_classes(classes)
    assert names is not None
    checkpoint = load(source)
    model = build(ModelSpec(name=into), len(names), channels)
    found = find(
        checkpoint,
        model,
        by=by or checkpoint.by,  # type: ignore[arg-type]
        rename=[(pattern, replacement) for pattern, replacement in map(rename_pair, rename or [])],
        exclude=exclude or [],
        coverage=coverage,
        source_classes=read_classes(source_classes),
        target_classes=names,
    )
    typer.echo(f"{checkpoint}\n{found}")
    if out is not None:
        write_durably(out, json_text(found.to_json(), indent=1) + "\n")


def _classes(count: str) -> tuple[str, ...]:
    if len(count) > 7 or not 1 <= int(count) <= 1_000_000:
        raise SettingsError(
            f"`--classes {count:.40}`: a number of classes, or a file of their names",
            why="a head has from 1 to 1,000,000 classes",
            fix="--classes 10, or --classes names.txt with one name a line",
        )
    return tuple(f"unnamed class {number}" for number in range(int(count)))

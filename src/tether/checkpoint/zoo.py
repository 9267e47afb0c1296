"""Pretrained models of timm as sources."""

import warnings
from difflib import get_close_matches
from types import ModuleType
from typing import Any, Literal

from torch import nn

from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.nesting import model_tensors
from tether.errors import CheckpointError, MissingExtra
from tether.spec import ModelSpec, PreprocessingSpec


def from_timm(name: str) -> Checkpoint:
    """Take the pretrained weights of a timm model, and the preprocessing that timm states for them.

    Raises:
        MissingExtra: timm is not installed.
        CheckpointError: timm has no such model, no weights for it, or cannot fetch them.

    """
    try:
        import timm
    except ImportError:
        raise MissingExtra("timm", "vision") from None
    if not timm.is_model(name):
        near = get_close_matches(name.partition(".")[0], timm.list_models(), n=1)
        raise CheckpointError(
            f"timm has no model `{name}`",
            why="it is looked up in timm's own list, and nothing is fetched for a name beside it",
            fix=f"did you mean `timm:{near[0]}`?" if near else "`timm.list_models(pretrained=True)` lists them",
        )
    model = _pretrained(timm, name)
    return Checkpoint(
        origin=f"timm:{name}",
        tensors=model_tensors(model, f"`timm:{name}`"),
        path=None,
        format="module",
        preprocessing=_preprocessing(model),
        model=ModelSpec(name=f"timm:{name}"),
    )


def _pretrained(timm: ModuleType, name: str) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: nn.Module = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"timm cannot give the pretrained weights of `{name}`",
            why=str(error).partition("\n")[0],
            fix="without a network, give the path of a downloaded file: --source FILE --model timm:"
            + name.partition(".")[0],
        ) from error
    return model


def _preprocessing(model: nn.Module) -> PreprocessingSpec:
    config: Any = model.pretrained_cfg
    channels, size, _ = config["input_size"]
    return PreprocessingSpec(
        size=size,
        channels=channels if channels in (1, 3) else None,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        padding=_padding(model),
    )


def _padding(model: nn.Module) -> Literal["same", "symmetric"]:
    from timm.layers.conv2d_same import Conv2dSame
    from timm.layers.pool2d_same import AvgPool2dSame
    from timm.layers.std_conv import ScaledStdConv2dSame, StdConv2dSame

    same = (AvgPool2dSame, Conv2dSame, ScaledStdConv2dSame, StdConv2dSame)
    return "same" if any(isinstance(module, same) for module in model.modules()) else "symmetric"

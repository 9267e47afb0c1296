"""Settle preprocessing: it belongs to the source; what nobody knows is asked for, never guessed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.resolve import load as load_checkpoint
from tether.data.images import Images
from tether.data.loading import load as load_pictures
from tether.data.pictures import Pictures
from tether.data.split import Split, split
from tether.errors import MissingExtra, SettingsError
from tether.escaping import terminal
from tether.spec import ModelSpec, PreprocessingSpec, RunSpec, SourceSpec

MOST_MEASURED = 2000
OWN: Mapping[str, Mapping[str, Any]] = {
    "digits-cnn": {"size": 28, "channels": 1},
    "cifar-resnet20": {"size": 32, "channels": 3},
}


def settle(spec: RunSpec, source: Checkpoint | None, pictures: Pictures, split: Split) -> PreprocessingSpec:
    """Fill in what the spec leaves open: from the source; without one, from the network and the training pictures.

    Raises:
        SettingsError: the spec contradicts the source, or neither says the size, the mean, the deviation, or a padding
            in which two variants of the network differ.

    """
    known = source.preprocessing if source and source.preprocessing else PreprocessingSpec()
    given = spec.preprocessing
    if source:
        _refuse_contradiction(given, known, source)
    natural = _natural(spec.model)
    found = known.model_dump(exclude_none=True) | given.model_dump(exclude_none=True)
    found = {key: natural[key] for key in ("size", "channels") if key in natural} | found
    if "padding" not in found and source is not None and _has_padded_twin(spec.model):
        raise _unknown("padding", spec, "`tf_` networks of timm pad strided convolutions as TensorFlow does (same)")
    found.setdefault("padding", natural.get("padding"))
    if "size" not in found:
        raise _unknown("size", spec, "neither the source nor the network says it")
    found.setdefault("channels", 3)
    if source is None and ("mean" not in found or "std" not in found):
        found |= _measured(pictures, split, PreprocessingSpec(**_only(found, "size", "channels")))
    for key in ("mean", "std"):
        if key not in found:
            raise _unknown(key, spec, "another one costs 5 to 9 points of accuracy without a word")
        if len(found[key]) == 1 and found["channels"] > 1:
            found[key] = tuple(found[key]) * found["channels"]
        if len(found[key]) != found["channels"]:
            raise SettingsError(
                f"`preprocessing.{key}` has {len(found[key])} values for {found['channels']} channels",
                why="each channel has one, or all have the same",
                fix=f"--{key} with 1 number or {found['channels']}",
            )
    return PreprocessingSpec(**found)


def prepared_as_from(source: SourceSpec, spec: RunSpec) -> PreprocessingSpec:
    """What a run of this spec would settle if it came from that source.

    Raises:
        InputError: the source or the data cannot be read, or what they say is not enough.
    """
    pictures = load_pictures(spec.data.path, root=spec.data.root, skip_bad=spec.data.skip_bad)
    parts = split(pictures, spec.data, spec.seed)
    return settle(spec.model_copy(update={"source": source}), load_checkpoint(source.path), pictures, parts)


def check_padding(model_spec: ModelSpec, model: nn.Module, padding: str | None) -> None:
    """Compare the padding that the source needs with the network's.

    Raises:
        SettingsError: they differ; the weights would load and lose points.

    """
    actual = model_padding(model)
    if padding is None or actual is None or padding == actual:
        return
    is_timm = model_spec.name.startswith("timm:")
    raise SettingsError(
        f"the source was trained with `{padding}` padding, and `{model_spec.name}` pads its strided convolutions "
        f"{'symmetrically' if actual == 'symmetric' else 'as TensorFlow does (same)'}",
        why="the weights would load without an error and see every picture shifted",
        fix=f"--model {_twin(model_spec.name)}" if is_timm else "use a network that pads so",
    )


def model_padding(model: nn.Module) -> str | None:
    """`same` or `symmetric`, as the network pads its strided convolutions; None where it has none."""
    strided = [
        module
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1 and module.kernel_size > module.stride
    ]
    if not strided:
        return None
    return "same" if any(type(m).__name__ == "Conv2dSame" for m in strided) else "symmetric"


def _refuse_contradiction(given: PreprocessingSpec, known: PreprocessingSpec, source: Checkpoint) -> None:
    for key in ("mean", "std", "padding", "channels"):
        ours, theirs = getattr(given, key), getattr(known, key)
        if ours is not None and theirs is not None and not _alike(ours, theirs):
            raise SettingsError(
                f"`preprocessing.{key}` is {ours}, and the source `{source.origin}` was trained with {theirs}",
                why="preprocessing belongs to the source",
                fix=f"leave out `preprocessing.{key}`",
            )


def _alike(ours: Any, theirs: Any) -> bool:
    """Equal, where one value stands for as many channels as the other has."""
    if isinstance(ours, tuple) and len(ours) == 1:
        return bool(ours * len(theirs) == theirs)
    return bool(ours == theirs)


def _natural(model: ModelSpec) -> Mapping[str, Any]:
    if model.name.startswith("timm:"):
        cfg = _timm_cfg(model.name.removeprefix("timm:"))
        if cfg is None:
            return {}
        return {"size": cfg.input_size[-1], "channels": model.args.get("in_chans", cfg.input_size[0])}
    return OWN.get(model.name, {})


def _timm_cfg(name: str) -> Any:
    try:
        from timm.models import get_pretrained_cfg
    except ModuleNotFoundError as error:
        raise MissingExtra("timm", "vision") from error
    try:
        return get_pretrained_cfg(name)
    except RuntimeError as error:
        raise SettingsError(
            f"`timm:{terminal(name)}`: {terminal(str(error))}",
            why="the size and the channels of its pictures are not known without it",
            fix="a name of `timm.list_models(pretrained=True)`",
        ) from None


def _has_padded_twin(model: ModelSpec) -> bool:
    if not model.name.startswith("timm:"):
        return False
    from timm import is_model

    return is_model(_twin(model.name).removeprefix("timm:"))


def _twin(name: str) -> str:
    bare = name.removeprefix("timm:")
    return "timm:" + (bare.removeprefix("tf_") if bare.startswith("tf_") else f"tf_{bare}")


def _measured(pictures: Pictures, split: Split, prepared: PreprocessingSpec) -> dict[str, Any]:
    chosen = split.train[np.linspace(0, len(split.train) - 1, min(MOST_MEASURED, len(split.train))).astype(int)]
    values = Images(pictures, chosen, prepared).batch(chosen).double() / 255
    mean, std = values.mean((0, 2, 3)), values.std((0, 2, 3)).clamp_min(1e-3)
    return {"mean": tuple(round(float(m), 4) for m in mean), "std": tuple(round(float(s), 4) for s in std)}


def _only(found: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: found[key] for key in keys}


def _unknown(key: str, spec: RunSpec, why: str) -> SettingsError:
    origin = f"of the source `{spec.source.path}`" if spec.source else f"of `{spec.model.name}`"
    example = {"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225", "size": "224", "padding": "same"}[key]
    return SettingsError(
        f"`preprocessing.{key}` {origin} is not known",
        why=f"it belongs to the source, and is asked for, not guessed: {why}",
        fix=f"--{key} {example} if that is what it was trained with",
    )

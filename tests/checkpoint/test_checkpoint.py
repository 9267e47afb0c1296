from pathlib import Path

import pytest
from torch import float16, ones

from tether.checkpoint.checkpoint import Checkpoint
from tether.errors import CheckpointError
from tether.spec import ModelSpec, PreprocessingSpec


def test_one_screen_says_all_that_is_known():
    checkpoint = Checkpoint(
        origin="runs/a",
        tensors={"encoder.fc.weight": ones(2, 3), "encoder.fc.bias": ones(2, dtype=float16)},
        path=Path("runs/a/model.safetensors"),
        format="safetensors",
        entry="state_dict",
        prefix="module.",
        others=("ema",),
        digest="0123456789abcdef",
        mapped=True,
        classes=tuple("abcdefghij"),
        preprocessing=PreprocessingSpec(size=28, mean=(0.5, 0.25), padding="same"),
        model=ModelSpec(name="digits-cnn"),
        by="order",
    )
    assert str(checkpoint).splitlines() == [
        "checkpoint: runs/a (safetensors, mapped)",
        "file: runs/a/model.safetensors · sha256 0123456789ab…",
        "tensors: 2 (8 values, float16, float32)",
        "taken off: entry `state_dict`, prefix `module.`",
        "every name starts with `encoder.fc.`, which was left on",
        "there too, and not read: `ema`",
        "model: digits-cnn",
        "classes: 10 (a, b, c, d, e, f, g, h, …)",
        "preprocessing: size 28 · mean 0.5 0.25 · padding same",
        "pairing: in order, since its names are not the target's",
    ]


def test_no_tensor_is_no_checkpoint():
    with pytest.raises(CheckpointError, match=r"`weights\.pt` holds no tensor"):
        Checkpoint("weights.pt", {}, path=None, format="mapping")

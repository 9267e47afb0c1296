from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tether import RunSpec, fit
from tether.engine.build import build
from tether.engine.preprocess import check_padding, model_padding
from tether.errors import MissingExtra, SettingsError
from tether.spec import ModelSpec

Settings = Callable[..., dict[str, Any]]


def test_a_run_that_is_a_source_says_its_preprocessing(settings: Settings, source_run: Path) -> None:
    plain = settings({"source.path": str(source_run)})
    del plain["preprocessing.size"], plain["preprocessing.channels"]
    prepared = build(RunSpec.from_flags(plain)).spec.preprocessing
    assert prepared == RunSpec.from_toml(source_run / "spec.toml").preprocessing
    assert prepared.size == 12


def test_another_size_than_the_sources_is_a_choice(settings: Settings, source_run: Path) -> None:
    spec = RunSpec.from_flags(settings({"source.path": str(source_run), "preprocessing.size": 16}))
    pictures, _ = next(build(spec).task.batches(0))
    assert pictures.shape == (6, 1, 16, 16)


def test_the_size_of_our_own_networks_is_known(settings: Settings) -> None:
    for name, size, channels in (("digits-cnn", 28, 1), ("cifar-resnet20", 32, 3)):
        plain = settings({"model.name": name})
        del plain["preprocessing.size"], plain["preprocessing.channels"]
        prepared = build(RunSpec.from_flags(plain)).spec.preprocessing
        assert (prepared.size, prepared.channels, len(prepared.mean or ())) == (size, channels, channels)


def test_one_value_stands_for_every_channel(settings: Settings) -> None:
    given = {"preprocessing.channels": 3, "preprocessing.mean": (0.5,), "preprocessing.std": (0.25,)}
    prepared = build(RunSpec.from_flags(settings(given))).spec.preprocessing
    assert prepared.mean == (0.5, 0.5, 0.5)
    assert prepared.std == (0.25, 0.25, 0.25)


def test_one_value_agrees_with_a_source_that_has_it_in_every_channel(settings: Settings, tmp_path: Path) -> None:
    given = {"preprocessing.channels": 3, "preprocessing.mean": (0.5,), "preprocessing.std": (0.25,)}
    fit(RunSpec.from_flags(settings(given | {"train.epochs": 1})), tmp_path / "run")
    again = settings(given | {"source.path": str(tmp_path / "run")})
    assert build(RunSpec.from_flags(again)).spec.preprocessing.mean == (0.5, 0.5, 0.5)


def test_a_size_that_nobody_says_is_asked_for(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sizeless_net.py").write_text(
        "from torch import nn\ndef Net(num_classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plain = settings({"model.name": "sizeless_net:Net"})
    del plain["preprocessing.size"]
    with pytest.raises(SettingsError, match=r"`preprocessing.size` of `sizeless_net:Net` is not known") as refusal:
        build(RunSpec.from_flags(plain))
    assert "--size 224" in refusal.value.fix


@pytest.mark.parametrize(
    ("layers", "padding"),
    [
        ([nn.Conv2d(3, 4, 3)], None),
        ([nn.Conv2d(3, 4, 2, stride=2)], None),
        ([nn.Conv2d(3, 4, 3, stride=2, padding=1)], "symmetric"),
    ],
)
def test_only_strided_convolutions_tell_a_padding(layers: list[nn.Module], padding: str | None) -> None:
    assert model_padding(nn.Sequential(*layers)) == padding


def test_timms_two_variants_differ_in_padding_and_in_what_they_compute() -> None:
    timm = pytest.importorskip("timm")
    same, symmetric = (
        timm.create_model(name, num_classes=2).eval() for name in ("tf_efficientnet_lite0", "efficientnet_lite0")
    )
    assert (model_padding(same), model_padding(symmetric)) == ("same", "symmetric")
    symmetric.load_state_dict(same.state_dict())
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(same(pictures), symmetric(pictures), atol=1e-4)
    with pytest.raises(SettingsError, match="trained with `symmetric` padding") as refusal:
        check_padding(ModelSpec(name="timm:tf_efficientnet_lite0"), same, "symmetric")
    assert refusal.value.fix == "--model timm:efficientnet_lite0"
    check_padding(ModelSpec(name="timm:efficientnet_lite0"), symmetric, "symmetric")


def test_without_timm_the_extra_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra) as refusal:
        build(RunSpec.from_flags(settings({"model.name": "timm:resnet18"})))
    assert refusal.value.fix == 'pip install "tether-ft[vision]"'

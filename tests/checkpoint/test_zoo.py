import sys

import pytest
import torch

from tether.checkpoint.resolve import load
from tether.errors import CheckpointError, MissingExtra
from tether.spec import ModelSpec


@pytest.fixture(scope="module")
def local_model(tmp_path_factory):
    """A timm model whose pretrained weights lie in a local file, as timm's own configuration allows."""
    timm = pytest.importorskip("timm", reason="needs the extra `vision`")
    file = tmp_path_factory.mktemp("zoo") / "weights.pth"
    model = timm.create_model("test_resnet")
    torch.save(model.state_dict(), file)

    @timm.models.register_model
    def tether_local_resnet(pretrained=False, **_):
        return timm.create_model("test_resnet", pretrained=pretrained, pretrained_cfg_overlay={"file": str(file)})

    return model


def test_weights_and_preprocessing_of_a_timm_model(local_model):
    found = load("timm:tether_local_resnet")
    expected = local_model.state_dict()
    assert list(found.tensors) == list(expected)
    assert all(torch.equal(found.tensors[name], value) for name, value in expected.items())
    assert found.model == ModelSpec(name="timm:tether_local_resnet")
    config = local_model.pretrained_cfg
    assert found.preprocessing.mean == tuple(config["mean"])
    assert found.preprocessing.std == tuple(config["std"])
    assert (found.preprocessing.channels, found.preprocessing.size) == config["input_size"][:2]
    assert found.preprocessing.padding == "symmetric"


@pytest.mark.parametrize(("name", "padding"), [("tf_efficientnet_lite0", "same"), ("efficientnet_lite0", "symmetric")])
def test_padding_is_that_of_the_layers(tmp_path, name, padding):
    timm = pytest.importorskip("timm", reason="needs the extra `vision`")
    torch.save(timm.create_model(name).state_dict(), tmp_path / "weights.pth")

    def local(pretrained=False, **_):
        return timm.create_model(name, pretrained=pretrained, pretrained_cfg_overlay={"file": tmp_path / "weights.pth"})

    local.__name__ = f"tether_local_{name}"
    timm.models.register_model(local)
    assert load(f"timm:{local.__name__}").preprocessing.padding == padding


def test_unknown_names_get_the_nearest():
    pytest.importorskip("timm", reason="needs the extra `vision`")
    with pytest.raises(CheckpointError, match="did you mean `timm:resnet18`"):
        load("timm:resnet18x")
    with pytest.raises(CheckpointError, match="list_models"):
        load("timm:qqqqqqqq")
    with pytest.raises(CheckpointError, match="Invalid pretrained tag"):
        load("timm:test_resnet.nonsense")


def test_without_a_network_the_way_out_is_a_file(monkeypatch, tmp_path):
    pytest.importorskip("timm", reason="needs the extra `vision`")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="cannot give the pretrained weights of `test_resnet`") as refusal:
        load("timm:test_resnet")
    assert "--source FILE --model timm:test_resnet" in refusal.value.fix


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"tether-ft\[vision\]"):
        load("timm:resnet18")

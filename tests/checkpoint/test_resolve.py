import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn, ones

from tether.checkpoint.resolve import load
from tether.errors import CheckpointError
from tether.spec import ModelSpec, PreprocessingSpec

DATA = Path(os.environ.get("TETHER_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
RESNET20 = DATA / "cifar10_resnet20" / "resnet20.th"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def run(tmp_path):
    """A run folder as `fit` leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    about = {"classes": ["cat", "dog"], "preprocessing": {"size": 28, "channels": 1}, "model": {"name": "digits-cnn"}}
    tensors = {"model.fc.weight": ones(2, 3), "model.fc.bias": ones(2)}
    save_file(tensors, folder / "model.safetensors", metadata={"tether": json.dumps(about)})
    (folder / "spec.toml").write_text('model.name = "digits-cnn"\ndata.path = "digits"\n')
    manifest = {"files": {"model.safetensors": sha256(folder / "model.safetensors")}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_run_folder_and_its_lone_file_say_the_same(run):
    for source in (run, str(run), run / "model.safetensors"):
        found = load(source)
        assert found.origin == str(source)
        assert list(found.tensors) == ["model.fc.bias", "model.fc.weight"]
        assert (found.path, found.format, found.mapped) == (run / "model.safetensors", "safetensors", True)
        assert (found.entry, found.prefix, found.by) == (None, None, "name")
        assert found.classes == ("cat", "dog")
        assert found.preprocessing == PreprocessingSpec(size=28, channels=1)
        assert found.model == ModelSpec(name="digits-cnn")
        assert found.digest == sha256(found.path)
        assert found.files == {found.path: found.digest}


def test_a_run_without_a_manifest_is_read(run):
    (run / "manifest.json").unlink()
    assert load(run).classes == ("cat", "dog")


def test_a_file_that_its_manifest_does_not_know_is_refused(run):
    save_file({"fc.bias": ones(2)}, run / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors` is not the file that its run wrote"):
        load(run)


@pytest.mark.parametrize("text", ["{", '{"files": {}}', "[]", "{}"])
def test_a_manifest_that_says_nothing_of_the_model_is_refused(run, text):
    (run / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.json` gives no SHA-256"):
        load(run)


@pytest.mark.parametrize("lacking", ["spec.toml", "model.safetensors"])
def test_a_folder_that_is_no_run_names_what_it_lacks(run, lacking):
    (run / lacking).unlink()
    with pytest.raises(CheckpointError, match=f"without `{lacking}`"):
        load(run)


def test_a_folder_of_files_shows_which_to_give(tmp_path):
    torch.save({"w": ones(1)}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError) as refusal:
        load(tmp_path)
    assert f"`{tmp_path / 'weights.pth'}`" in refusal.value.fix


def test_a_foreign_safetensors_file_loses_what_training_put_around_its_names(tmp_path):
    save_file({"module.backbone.w": ones(1), "module.backbone.v": ones(2)}, tmp_path / "m.safetensors")
    found = load(tmp_path / "m.safetensors")
    assert (set(found.tensors), found.prefix) == ({"w", "v"}, "module.backbone.")
    assert found.classes is found.preprocessing is found.model is None


@pytest.mark.parametrize(("zipped", "container"), [(True, "torch zip"), (False, "torch legacy")])
def test_a_torch_file_whatever_it_is_called(tmp_path, zipped, container):
    path = tmp_path / "m.safetensors"
    saved = {"model": {"module.w": ones(1)}, "model_ema": {"w": ones(1)}, "epoch": 3}
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    found = load(path)
    assert (found.format, found.mapped) == (container, False)
    assert (found.entry, found.prefix, found.others) == ("model", "module.", ("model_ema",))
    assert found.digest == sha256(path)


def test_a_safetensors_file_called_pt(tmp_path):
    save_file({"w": ones(1)}, tmp_path / "m.pt")
    assert load(tmp_path / "m.pt").format == "safetensors"


def test_a_sharded_set_has_the_digest_of_every_shard(tmp_path):
    save_file({"model.a": ones(2)}, tmp_path / "1.safetensors")
    save_file({"model.b": ones(2)}, tmp_path / "2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.a": "1.safetensors", "model.b": "2.safetensors"}}))
    found = load(index)
    assert (list(found.tensors), found.prefix, found.mapped) == (["a", "b"], "model.", True)
    assert found.digest == sha256(index)
    assert found.files == {tmp_path / name: sha256(tmp_path / name) for name in ("1.safetensors", "2.safetensors")}


def test_the_file_is_found_again_from_another_folder(tmp_path, monkeypatch):
    save_file({"w": ones(1)}, tmp_path / "m.safetensors")
    monkeypatch.chdir(tmp_path)
    found = load("m.safetensors")
    assert (found.origin, found.path) == ("m.safetensors", Path("m.safetensors"))
    assert list(found.files) == [tmp_path / "m.safetensors"]


def test_a_safetensors_file_without_a_tensor(tmp_path):
    save_file({}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="holds no tensor"):
        load(tmp_path / "m.safetensors")


def test_a_model_is_a_source_and_later_training_does_not_move_it():
    model = nn.DataParallel(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    found = load(model)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert list(found.tensors) == list(before)
    assert all(torch.equal(found.tensors[name], value) for name, value in before.items())
    assert (found.format, found.path, found.mapped) == ("module", None, False)


def test_tensors_by_name_are_read_as_a_file_is():
    weight = ones(2)
    found = load({"module.w": weight})
    weight.zero_()
    assert found.tensors["w"].tolist() == [1, 1]
    assert (found.format, found.prefix) == ("mapping", "module.")


def test_a_model_without_parameters_is_no_source():
    with pytest.raises(CheckpointError, match="the model ReLU"):
        load(nn.ReLU())


@pytest.mark.parametrize(
    ("source", "fix"),
    [("efficientnet-lite", "did you mean `efficientnet-lite0`"), ("nowhere/weights.pt", "known: .*efficientnet-lite0")],
)
def test_nothing_there(source, fix):
    with pytest.raises(CheckpointError, match=fix) as refusal:
        load(source)
    assert f"`{source}`" in refusal.value.what


@pytest.mark.parametrize("source", ["x" * 5000, "a\0b"])
def test_what_cannot_be_a_path_is_nothing_there(source):
    with pytest.raises(CheckpointError, match="there is no source"):
        load(source)


@pytest.mark.skipif(not RESNET20.exists(), reason=f"{RESNET20.name} is not in TETHER_DATA")
def test_the_legacy_resnet20():
    found = load(RESNET20)
    plain = torch.load(RESNET20, map_location="cpu", weights_only=True)["state_dict"]
    assert list(found.tensors) == [name.removeprefix("module.") for name in plain]
    assert all(torch.equal(found.tensors[name], plain[f"module.{name}"]) for name in found.tensors)
    assert (found.format, found.entry, found.prefix) == ("torch legacy", "state_dict", "module.")
    assert {value.device.type for value in found.tensors.values()} == {"cpu"}


def test_a_tensor_greater_than_its_file_is_refused(tmp_path):
    torch.save({"w": ones(1).expand(1_000_000)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"`w` of \(1000000,\) is greater than the file"):
        load(tmp_path / "m.pt")
    torch.save({"w": ones(1).expand(3)}, tmp_path / "m.pt")
    assert load(tmp_path / "m.pt").tensors["w"].tolist() == [1, 1, 1]


def test_weights_of_a_run_that_are_a_pickle_are_refused(run):
    (run / "manifest.json").unlink()
    torch.save({"w": ones(1)}, run / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not a safetensors file but one of the kind torch zip"):
        load(run)

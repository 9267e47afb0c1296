import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from tether import Anchor, RunSpec, fit, predict
from tether.engine.audit_run import audit_run
from tether.engine.measure import measure
from tether.engine.trained import Trained, save_reference
from tether.errors import CheckpointError
from tether.files import write_manifest

Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def copy(source_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source_run, tmp_path / "copy"))


def test_a_run_is_read_as_it_was_written(source_run: Path) -> None:
    trained = Trained.load(source_run)
    saved = load_file(source_run / "model.safetensors")
    assert trained.classes == ("a", "b", "c")
    assert trained.spec == RunSpec.from_toml(source_run / "spec.toml")
    assert not trained.model.training
    assert all(torch.equal(value, saved[name]) for name, value in trained.model.state_dict().items())


def test_the_weights_say_how_to_use_them(source_run: Path) -> None:
    spec = RunSpec.from_toml(source_run / "spec.toml")
    with safe_open(source_run / "model.safetensors", "pt") as file:
        about = json.loads(file.metadata()["tether"])
    assert about["classes"] == ["a", "b", "c"]
    assert about["preprocessing"] == json.loads(spec.preprocessing.model_dump_json(exclude_none=True))
    assert (about["model"]["name"], about["spec"]) == ("digits-cnn", spec.digest)


def test_changed_weights_are_found_by_the_manifest(copy: Path) -> None:
    path = copy / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match="is not the file that its run wrote"):
        Trained.load(copy)


@pytest.mark.parametrize("name", ["spec.toml", "outcome.json", "split.json", "plan.json", "environment.json"])
def test_any_changed_file_of_a_run_is_found_by_every_reader(copy: Path, name: str) -> None:
    with (copy / name).open("a") as stream:
        stream.write("\n")
    for read in (Trained.load, measure, audit_run, lambda run: list(predict(run, [run]))):
        with pytest.raises(CheckpointError, match=f"{name}` differs from what was written"):
            read(copy)


def test_a_manifest_that_leaves_out_the_spec_is_no_manifest(copy: Path) -> None:
    (copy / "spec.toml").rename(copy / ".aside")
    write_manifest(copy)
    (copy / ".aside").rename(copy / "spec.toml")
    with pytest.raises(CheckpointError, match=r"does not name `spec\.toml`"):
        Trained.load(copy)


def test_a_run_that_did_not_end_is_no_model(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"a folder without `model.safetensors`"):
        Trained.load(copy)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run folder"):
        Trained.load(tmp_path / "none")


def test_weights_without_classes_are_no_model(copy: Path) -> None:
    save_file(load_file(copy / "model.safetensors"), copy / "model.safetensors")
    (copy / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="does not say its classes and preprocessing"):
        Trained.load(copy)


def test_weights_of_another_network_than_the_specs_are_refused(copy: Path) -> None:
    text = (copy / "spec.toml").read_text()
    (copy / "spec.toml").write_text(text.replace('"digits-cnn"', '"cifar-resnet20"'))
    with pytest.raises(CheckpointError, match=r"spec\.toml` differs from what was written"):
        Trained.load(copy)
    write_manifest(copy)
    with pytest.raises(CheckpointError, match="does not fit `cifar-resnet20`"):
        Trained.load(copy)


def test_a_run_is_a_source_for_the_next(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    spec = RunSpec.from_flags(settings({"source.path": str(source_run), "train.epochs": 1}))
    fit(spec, tmp_path / "one")
    fit(spec.replace({"source.path": str(tmp_path / "one")}), tmp_path / "two")
    kept = load_file(tmp_path / "two/reference.safetensors")
    one = load_file(tmp_path / "one/model.safetensors")
    assert kept.keys() == one.keys()  # classes of the same names, so the head is transferred too
    assert all(torch.equal(kept[name], one[name]) for name in one)


def test_new_rows_are_written_beside_the_references(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    mask = torch.tensor([True, False, True])
    save_reference(tmp_path, Anchor({"weight": model.weight.detach()}, {"weight": mask, "bias": None}))
    with safe_open(tmp_path / "reference.safetensors", "pt") as file:
        assert json.loads(file.metadata()["new"]) == {"weight": [0, 2], "bias": None}

import os
import pickle
from pathlib import Path

import pytest

from tether.checkpoint.folder import require_run
from tether.errors import CheckpointError, UnsafeCheckpoint


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_a_run_passes(tmp_path: Path) -> None:
    require_run(touch(tmp_path, "model.safetensors", "spec.toml"))


def test_a_folder_of_torch_distributed_says_how_to_convert(tmp_path: Path) -> None:
    touch(tmp_path, "__0_0.distcp")
    (tmp_path / ".metadata").write_bytes(pickle.dumps({}))
    with pytest.raises(UnsafeCheckpoint, match=r"torch\.distributed\.checkpoint") as refusal:
        require_run(tmp_path)
    assert "dcp_to_torch_save" in refusal.value.fix


def test_a_model_of_the_hub_says_that_its_code_is_not_run(tmp_path: Path) -> None:
    touch(tmp_path, "model.safetensors", "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.Net"}}')
    with pytest.raises(CheckpointError, match=r"without `spec\.toml`") as refusal:
        require_run(tmp_path)
    assert "not read, and code that it names is not run" in refusal.value.why
    assert f"`{tmp_path / 'model.safetensors'}`" in refusal.value.fix


def test_an_index_is_named_before_its_shards(tmp_path: Path) -> None:
    touch(tmp_path, "a.safetensors", "model.safetensors.index.json")
    with pytest.raises(CheckpointError) as refusal:
        require_run(tmp_path)
    assert "model.safetensors.index.json" in refusal.value.fix


@pytest.mark.parametrize("name", ["model.safetensors", "spec.toml"])
def test_a_file_of_a_run_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "model.safetensors", "spec.toml")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name}` is a named pipe"):
        require_run(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "spec.toml"])
def test_a_link_out_of_a_run_is_refused(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    touch(run, "model.safetensors", "spec.toml")
    (run / name).rename(tmp_path / "other")
    (run / name).symlink_to("../other")
    with pytest.raises(CheckpointError, match=f"{name}` is a link to"):
        require_run(run)

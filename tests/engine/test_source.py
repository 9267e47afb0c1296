from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tether import RunSpec
from tether.checkpoint.resolve import load
from tether.engine.source import read_classes, source_classes, source_model
from tether.errors import MatchError, SettingsError

Settings = Callable[..., dict[str, Any]]


def spec_of(settings: Settings, source: Path | str, **changes: Any) -> RunSpec:
    return RunSpec.from_flags(settings({"source.path": str(source), **changes}))


def test_the_whole_source_is_rebuilt_and_torchs_seed_is_left_alone(settings: Settings, source_run: Path) -> None:
    before = torch.get_rng_state()
    model = source_model(spec_of(settings, source_run), load(source_run))
    assert torch.equal(before, torch.get_rng_state())
    for name, value in load_file(source_run / "model.safetensors").items():
        assert torch.equal(model.state_dict()[name], value)


def test_its_classes_are_those_of_the_checkpoint_or_of_a_file(
    settings: Settings, source_run: Path, tmp_path: Path
) -> None:
    assert source_classes(spec_of(settings, source_run), load(source_run)) == ("a", "b", "c")
    (tmp_path / "names.txt").write_text("x\ny\nz\n")
    named = spec_of(settings, source_run, **{"source.classes": str(tmp_path / "names.txt")})
    assert source_classes(named, load(source_run)) == ("x", "y", "z")


def test_a_head_without_class_names_is_built_by_its_rows(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    save_file(load_file(source_run / "model.safetensors"), tmp_path / "bare.safetensors")
    spec, source = spec_of(settings, tmp_path / "bare.safetensors"), load(tmp_path / "bare.safetensors")
    assert source_model(spec, source).head.out_features == 3
    with pytest.raises(SettingsError, match=r"classes of .* are not known"):
        source_classes(spec, source)


def test_a_source_without_its_head_is_refused(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    body = {k: v for k, v in load_file(source_run / "model.safetensors").items() if not k.startswith("head.")}
    save_file(body, tmp_path / "body.safetensors")
    spec, source = spec_of(settings, tmp_path / "body.safetensors"), load(tmp_path / "body.safetensors")
    with pytest.raises(MatchError, match=r"lacks head.weight"):
        source_model(spec, source, 3)
    with pytest.raises(SettingsError, match="how many classes"):
        source_model(spec, source)


def test_class_names_are_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("cat\n\n dog \n", encoding="utf-8-sig")
    assert read_classes(str(file)) == ("cat", "dog")
    assert read_classes(None) is None


@pytest.mark.parametrize(("text", "message"), [("\n", "names no class"), ("a\nb\na\n", "names a class twice")])
def test_wrong_class_names_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_classes(str(tmp_path / "names.txt"))


def test_absent_class_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"`source.classes = .*none.txt'` cannot be read"):
        read_classes(str(tmp_path / "none.txt"))

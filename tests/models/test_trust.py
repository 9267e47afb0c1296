from pathlib import Path

import pytest

from tether.errors import SettingsError
from tether.models.trust import require_trusted, runs_code
from tether.spec import ModelSpec

DOTTED = ["torch.hub:load", "os:system", "a:b", ":", "digits-cnn:x", "TIMM:resnet18", " timm:resnet18", "hf:a/b"]


@pytest.mark.parametrize("name", ["digits-cnn", "cifar-resnet20", "timm:resnet18", "timm:hf-hub:timm/resnet18"])
def test_a_name_that_is_looked_up_is_always_fine(name: str) -> None:
    assert not runs_code(name)
    require_trusted(ModelSpec(name=name), "`spec.toml`", trust_code=False)


@pytest.mark.parametrize("name", DOTTED)
def test_a_dotted_name_needs_trust(name: str) -> None:
    require_trusted(ModelSpec(name=name), "`runs/a/spec.toml`", trust_code=True)
    with pytest.raises(SettingsError) as refusal:
        require_trusted(ModelSpec(name=name), "`runs/a/spec.toml`", trust_code=False)
    assert refusal.value.what == f"`runs/a/spec.toml` names the network `{name}`"
    assert "--trust-code" in refusal.value.fix


def test_whatever_would_be_imported_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is made by the same rule that is checked: no name is imported that `runs_code` denies."""
    from tether.models import build

    imported = []
    monkeypatch.setattr(build, "_dotted", imported.append)
    for name in DOTTED:
        build.maker(name)
    assert imported == DOTTED == [name for name in DOTTED if runs_code(name)]

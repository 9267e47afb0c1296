from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tether.errors import SettingsError
from tether.models import room
from tether.models.build import build
from tether.models.cifar_resnet import CifarResNet20
from tether.models.digits_cnn import DigitsCNN
from tether.models.room import require_sane, within_memory
from tether.spec import ModelSpec


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of 4,000 bytes."""
    monkeypatch.setattr(room, "machine_memory", lambda: 4_000)
    yield


@pytest.mark.parametrize(("name", "kind"), [("digits-cnn", DigitsCNN), ("cifar-resnet20", CifarResNet20)])
def test_the_weights_and_the_next_draw_are_those_of_the_network_alone(name: str, kind: type[nn.Module]) -> None:
    torch.manual_seed(3)
    plain, after = kind(num_classes=5), torch.rand(4)  # type: ignore[call-arg]
    torch.manual_seed(3)
    built = build(ModelSpec(name=name), num_classes=5)
    assert torch.equal(torch.rand(4), after)
    assert all(torch.equal(value, built.state_dict()[key]) for key, value in plain.state_dict().items())


def test_a_network_of_timm_is_what_timm_makes() -> None:
    timm = pytest.importorskip("timm", reason="the extra `vision` is not installed")
    torch.manual_seed(3)
    plain, after = timm.create_model("resnet18", num_classes=5), torch.rand(4)
    torch.manual_seed(3)
    built = build(ModelSpec(name="timm:resnet18"), num_classes=5)
    assert torch.equal(torch.rand(4), after)
    assert all(torch.equal(value, built.state_dict()[key]) for key, value in plain.state_dict().items())


def test_what_is_too_large_is_refused_before_it_is_filled(little: None, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = []
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: filled.append(self.out_features))
    with within_memory("net"):
        nn.Linear(10, 90)  # 990 values
    assert filled == [90]
    with pytest.raises(SettingsError, match="`net` is too large for this machine") as refusal, within_memory("net"):
        nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 90))
    assert filled == [90, 10]
    assert "4,000 bytes" in refusal.value.why


def test_a_buffer_counts_and_a_tied_tensor_counts_once(little: None) -> None:
    module, weight = nn.Module(), nn.Parameter(torch.zeros(900))
    with within_memory("net"):
        module.a = weight
        module.b = weight
    with pytest.raises(SettingsError), within_memory("net"):
        module.a = weight
        module.register_buffer("c", torch.zeros(200))


def test_lazy_and_meta_tensors_take_no_memory(little: None) -> None:
    with within_memory("net"):
        nn.LazyLinear(10_000)
        nn.Linear(1_000, 1_000, device="meta")


def test_more_tensors_than_any_network_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_TENSORS", 5)
    with pytest.raises(SettingsError, match="in 6 tensors"), within_memory("net"):
        nn.Sequential(*(nn.Linear(1, 1) for _ in range(3)))


def test_nothing_is_counted_afterwards(little: None) -> None:
    with within_memory("net"):
        nn.Linear(10, 10)
    with pytest.raises(ZeroDivisionError), within_memory("net"):
        raise ZeroDivisionError
    nn.Linear(100, 100)


@pytest.mark.parametrize("value", [10**9, -(10**9), [1, 10**9], (10**9,)])
def test_a_size_that_no_network_has_is_refused(value: object) -> None:
    with pytest.raises(SettingsError, match=r"`model\.args\.width` of `digits-cnn` has the number 1,000,000,000"):
        require_sane("digits-cnn", {"a": 1, "width": value})


def test_one_tensor_that_cannot_be_made_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wide.py").write_text(
        "from torch import nn\ndef net(num_classes, width): return nn.Linear(width, width)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match="`wide:net` is too large for this machine: one of its tensors"):
        build(ModelSpec(name="wide:net", args={"width": 10**8}), num_classes=2)


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained", "pretrained_cfg_overlay", "cache_dir"])
def test_a_network_of_timm_reads_no_file(name: str) -> None:
    with pytest.raises(SettingsError, match=f"`model.args` sets `{name}`"):
        build(ModelSpec(name="timm:resnet18", args={name: "weights.pth"}), num_classes=2)

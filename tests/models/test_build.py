import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tether.errors import MissingExtra, SettingsError
from tether.models.build import MODELS, build, classifier_name
from tether.models.cifar_resnet import CifarResNet20
from tether.models.digits_cnn import DigitsCNN
from tether.spec import ModelSpec


def spec(name: str, **args: object) -> ModelSpec:
    return ModelSpec(name=name, args=args)


@pytest.mark.parametrize(
    ("name", "kind", "channels"), [("digits-cnn", DigitsCNN, 1), ("cifar-resnet20", CifarResNet20, 3)]
)
def test_our_own_nets_by_name(name: str, kind: type[nn.Module], channels: int) -> None:
    model = build(spec(name), num_classes=4)
    assert type(model) is kind
    assert model(torch.zeros(1, channels, 8, 8)).shape == (1, 4)
    assert build(spec(name), num_classes=4, channels=2)(torch.zeros(1, 2, 8, 8)).shape == (1, 4)
    assert sorted(MODELS) == ["cifar-resnet20", "digits-cnn"]


def test_the_head_of_each_of_ours_is_named() -> None:
    assert classifier_name(DigitsCNN(3)) == "head"
    assert classifier_name(CifarResNet20(3)) == "linear"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no model is named `digits-cn`") as refusal:
        build(spec("digits-cn"), num_classes=2)
    assert refusal.value.fix == "did you mean `digits-cnn`?"


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(SettingsError, match=r"`digits-cnn` cannot be made with num_classes=2, width=3: .*'width'"):
        build(spec("digits-cnn", width=3), num_classes=2)


@pytest.mark.parametrize("argument", ["num_classes", "in_channels"])
def test_an_argument_that_the_data_decides_cannot_be_given_twice(argument: str) -> None:
    with pytest.raises(SettingsError, match=f"`model.args` sets `{argument}`"):
        build(spec("digits-cnn", **{argument: 3}), num_classes=2, channels=1)


class TestTimm:
    @pytest.fixture(autouse=True)
    def needs_timm(self) -> None:
        pytest.importorskip("timm", reason="the extra `vision` is not installed")

    def test_a_name_of_timm_is_made_with_random_weights_and_a_new_head(self) -> None:
        torch.manual_seed(0)
        model = build(spec("timm:resnet18", drop_rate=0.5), num_classes=5, channels=1).eval()
        assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 5)
        assert model.drop_rate == 0.5
        assert classifier_name(model) == "fc"
        torch.manual_seed(1)
        other = build(spec("timm:resnet18", drop_rate=0.5), num_classes=5, channels=1)
        assert not torch.equal(model.get_parameter("fc.weight"), other.get_parameter("fc.weight"))

    def test_a_misspelt_name_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(SettingsError, match="timm has no model named `resnet81`") as refusal:
            build(spec("timm:resnet81"), num_classes=2)
        assert "did you mean `resnet" in refusal.value.fix

    def test_a_name_far_from_all_does_not_list_a_thousand(self) -> None:
        with pytest.raises(SettingsError, match="qqqq") as refusal:
            build(spec("timm:qqqq"), num_classes=2)
        assert refusal.value.fix == "`timm.list_models()` lists all names"

    def test_a_hub_name_is_not_fetched(self) -> None:
        with pytest.raises(SettingsError, match="timm has no model named `hf-hub:timm/resnet18`"):
            build(spec("timm:hf-hub:timm/resnet18"), num_classes=2)

    def test_an_argument_that_it_does_not_take_is_named(self) -> None:
        with pytest.raises(SettingsError, match=r"`timm:resnet18` cannot be made with .*wide=3"):
            build(spec("timm:resnet18", wide=3), num_classes=2)


def test_without_timm_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # what `import timm` finds where it is not installed
    with pytest.raises(MissingExtra, match="`timm` is not installed") as refusal:
        build(spec("timm:resnet18"), num_classes=2)
    assert refusal.value.fix == 'pip install "tether-ft[vision]"'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def net(num_classes, width=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Linear(width, num_classes))\n"
        "def nothing(num_classes): return None\n"
        "def broken(num_classes): raise RuntimeError('no such width')\n"
        "answer = 42\n"
    )
    (tmp_path / "needy.py").write_text("import absent_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
class TestDotted:
    def test_any_callable_makes_a_network(self) -> None:
        model = build(spec("mine:net", width=6), num_classes=3, channels=1)
        assert model(torch.zeros(2, 1, 4, 4)).shape == (2, 3)
        assert classifier_name(model) == "2"

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("absent.package:Net", "No module named 'absent'"),
            ("needy:net", "No module named 'absent_dependency'"),
            ("mine:nett", "no attribute 'nett'"),
        ],
    )
    def test_what_cannot_be_imported_is_named(self, name: str, found: str) -> None:
        with pytest.raises(SettingsError, match=f"`model.name = '{name}'` cannot be imported: .*{found}") as refusal:
            build(spec(name), num_classes=2)
        assert "PYTHONPATH=." in refusal.value.fix

    def test_what_cannot_be_called_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="`mine:answer` is a int"):
            build(spec("mine:answer"), num_classes=2)

    def test_what_fails_as_it_is_made_is_named(self) -> None:
        with pytest.raises(SettingsError, match=r"`mine:broken` cannot be made with num_classes=2: .*no such width"):
            build(spec("mine:broken"), num_classes=2)

    def test_what_makes_no_module_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="`mine:nothing` made a NoneType"):
            build(spec("mine:nothing"), num_classes=2)


def test_a_network_without_a_head_is_refused() -> None:
    with pytest.raises(SettingsError, match="`Sequential` has no head"):
        classifier_name(nn.Sequential(nn.Conv2d(1, 1, 3)))


def test_the_last_linear_layer_is_the_head_where_none_is_told() -> None:
    body = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert classifier_name(nn.ModuleDict({"body": body, "top": nn.Linear(2, 3)})) == "top"

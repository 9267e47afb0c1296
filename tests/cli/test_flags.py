from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether import RunSpec
from tether.cli.flags import FLAGS, numbers, plan_words, read_spec, rename_pair
from tether.errors import SettingsError

LEAST = '[model]\nname = "digits-cnn"\n[data]\npath = "digits"\n'
GIVEN: dict[str, tuple[list[str], Any]] = {
    "--data": (["photos"], "photos"),
    "--model": (["timm:resnet18"], "timm:resnet18"),
    "--source": (["a.pth"], "a.pth"),
    "--batchnorm": (["update"], "update"),
    "--per-class": (["8"], 8),
    "--validation": (["0"], 0.0),
    "--augment": (["none"], "none"),
    "--skip-bad": ([], True),
    "--size": (["96"], 96),
    "--mean": (["0.485,0.456,0.406"], (0.485, 0.456, 0.406)),
    "--std": (["0.5"], (0.5,)),
    "--padding": (["same"], "same"),
    "--by": (["order"], "order"),
    "--rename": (["^a=b"], (("^a", "b"),)),
    "--exclude": (["fc.*"], ("fc.*",)),
    "--coverage": (["0"], 0.0),
    "--source-classes": (["names.txt"], "names.txt"),
    "--source-data": (["cifar"], "cifar"),
    "--optimizer": (["sgd"], "sgd"),
    "--lr": (["1e-3"], 1e-3),
    "--epochs": (["3"], 3),
    "--batch-size": (["7"], 7),
    "--patience": (["2"], 2),
    "--probe": ([], True),
    "--seed": (["0"], 0),
    "--threads": (["2"], 2),
    "--device": (["cpu"], "cpu"),
}


def field(spec: RunSpec, key: str) -> Any:
    found: Any = spec
    for name in key.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.name != "--plan"], ids=lambda flag: flag.name)
def test_every_flag_sets_its_field_on_top_of_a_file(flag: Any, tether: Callable[..., Any], tmp_path: Path) -> None:
    other = {"seed": "seed = 5\n", "data.validation": "validation = 0.5\n", "source.coverage": ""}.get(flag.key, "")
    text = other + LEAST if flag.key == "seed" else LEAST + other
    (tmp_path / "run.toml").write_text(text + '[source]\npath = "b.pth"\n')
    words, value = GIVEN[flag.name]
    done = tether("fit", tmp_path / "run.toml", flag.name, *words, "--print-spec")
    assert (done.code, done.err) == (0, "")
    (tmp_path / "printed.toml").write_text(done.out)
    found = RunSpec.from_toml(tmp_path / "printed.toml")
    assert field(found, flag.key) == value
    assert found == RunSpec.from_toml(tmp_path / "run.toml").replace({flag.key: value})


def test_a_printed_spec_reads_back_to_an_equal_one(tether: Callable[..., Any], tmp_path: Path) -> None:
    words = ["--model", "timm:resnet18", "--data", "photos", "--source", "a.pth", "--plan", "l2_sp(alpha=1)"]
    words += ["--rename", "^encoder\\.=backbone.", "--mean", "0.5", "--set", 'plan.overrides={"*.bias"="none"}']
    once = tether("fit", *words, "--print-spec").out
    (tmp_path / "run.toml").write_text(once)
    assert tether("fit", tmp_path / "run.toml", "--print-spec").out == once
    spec = RunSpec.from_toml(tmp_path / "run.toml")
    assert spec.source is not None
    assert spec.source.rename == (("^encoder\\.", "backbone."),)
    assert spec.plan.overrides == {"*.bias": "none"}


@pytest.mark.parametrize(
    ("text", "preset", "args"),
    [
        ("l2_sp", "l2_sp", {}),
        ("l2_sp(alpha=1)", "l2_sp", {"alpha": 1.0}),
        (" l2_sp( alpha = 1e-1 , beta=2 ) ", "l2_sp", {"alpha": 0.1, "beta": 2.0}),
        ("none", "none", {}),
        ("None", "none", {}),
        ("frozen()", "frozen", {}),
    ],
)
def test_a_plan_in_words(text: str, preset: str, args: dict[str, float]) -> None:
    assert plan_words(text) == {"preset": preset, "args": args}


@pytest.mark.parametrize(
    "text", ["", "l2-sp", "l2_sp(1)", "l2_sp(alpha=x)", "L2(0.1) + L1(1)", "l2_sp(alpha=[1])", "l2_sp(", "a.b()", "3"]
)
def test_a_plan_that_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(SettingsError, match="neither a preset nor a preset with arguments") as refusal:
        plan_words(text)
    assert '--plan "l2_sp(alpha=1)"' in refusal.value.fix


def test_a_plan_flag_replaces_the_arguments_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(LEAST + '[plan]\npreset = "l1_sp"\nargs = {alpha = 1.0}\nscale = 2.0\n')
    spec = read_spec(tmp_path / "run.toml", {"plan": "l2"}, [])
    assert (spec.plan.preset, spec.plan.args, spec.plan.scale) == ("l2", {}, 2.0)


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("optimizer.warmup=0.5", "optimizer.warmup", 0.5),
        ("optimizer.warmup = 0.5 ", "optimizer.warmup", 0.5),
        ("data.path=some where", "data.path", "some where"),
        ('data.path="1"', "data.path", "1"),
        ("data.skip_bad=true", "data.skip_bad", True),
        ("preprocessing.mean=[0.1, 0.2, 0.3]", "preprocessing.mean", (0.1, 0.2, 0.3)),
        ("plan.new=L2(0.1) + L1(1e-4)", "plan.new", "L2(0.1) + L1(1e-4)"),
        ("model.name=a:B=C", "model.name", "a:B=C"),
    ],
)
def test_any_field_can_be_set(setting: str, key: str, value: Any) -> None:
    spec = read_spec(None, {"data": "digits", "model": "digits-cnn"}, [setting])
    assert field(spec, key) == value


def test_what_is_set_wins_over_a_flag() -> None:
    spec = read_spec(None, {"data": "digits", "model": "digits-cnn", "epochs": 3}, ["train.epochs=4"])
    assert spec.train.epochs == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numbers("0.5;0.5"), "`0.5;0.5` is not a number"),
        (lambda: rename_pair("encoder"), "`--rename encoder` has no `=`"),
        (lambda: read_spec(None, {}, ["seed"]), "`--set seed` has no `=`"),
        (lambda: read_spec(None, {}, ["sed=1", "model.name=m", "data.path=d"]), "there is no setting `sed`"),
    ],
)
def test_a_flag_that_cannot_be_read_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        call()


def test_every_flag_names_a_field_and_no_two_the_same() -> None:
    spec = RunSpec.parse({"model": {"name": "m"}, "data": {"path": "d"}, "source": {"path": "s"}})
    for flag in FLAGS:
        field(spec, flag.key)
    assert len({flag.key for flag in FLAGS}) == len({flag.name for flag in FLAGS}) == len(FLAGS)
    assert GIVEN.keys() | {"--plan"} == {flag.name for flag in FLAGS}

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether import RunSpec
from tether.cli.flags import FLAGS, read_spec
from tether.cli.words import numbers, plan_words, rename_pair
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
    "--auto-batch": ([], True),
    "--checkpoint-every": (["50"], 50),
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
        ("group_lasso_sp(alpha=1, view='layers')", "group_lasso_sp", {"alpha": 1.0, "view": "layers"}),
        ("l2_sp(alpha=-1)", "l2_sp", {"alpha": -1.0}),
    ],
)
def test_a_plan_in_words(text: str, preset: str, args: dict[str, float]) -> None:
    assert plan_words(text) == {"preset": preset, "args": args}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "l2-sp",
        "l2_sp(1)",
        "l2_sp(alpha=x)",
        "L2(0.1) + L1(1)",
        "l2_sp(alpha=[1])",
        "l2_sp(",
        "a.b()",
        "3",
        "l2_sp(alpha=1, alpha=2)",
        "l2(**{})",
        "l2 # sp",
        "l2(strength=True)",
        "__import__('os').system('x')",
    ],
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
        ('plan.overrides."*.bias"=none', "plan.overrides", {"*.bias": "none"}),
        ('plan.overrides."a=b.*"="none"', "plan.overrides", {"a=b.*": "none"}),
        ("data.path=1979-05-27.csv", "data.path", "1979-05-27.csv"),
    ],
)
def test_any_field_can_be_set(setting: str, key: str, value: Any) -> None:
    given = {"data.path": ("data", "digits"), "model.name": ("model", "digits-cnn")}
    spec = read_spec(None, dict(given[field] for field in given if field != key), [setting])
    assert field(spec, key) == value


@pytest.mark.parametrize(
    ("flags", "settings", "both"),
    [
        ({"epochs": 3}, ["train.epochs=4"], ("--epochs", "--set train.epochs")),
        ({"epochs": 3}, ["train={epochs=4}"], ("--epochs", "--set train")),
        ({}, ["train.epochs=3", 'train."epochs"=3'], ("--set train.epochs", "--set train.epochs")),
        ({}, ["train.epochs=3", "train={}"], ("--set train.epochs", "--set train")),
        ({"plan": "l2_sp(alpha=1)"}, ["plan.args.alpha=2"], ("--plan", "--set plan.args.alpha")),
        ({"plan": "l2_sp"}, ["plan.preset=l2"], ("--plan", "--set plan.preset")),
        ({"rename": ["a=b"]}, ["source.rename=[]"], ("--rename", "--set source.rename")),
    ],
)
def test_two_words_that_set_the_same_are_refused(flags: Any, settings: list[str], both: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"`{both[0]}` and `{both[1]}` set the same") as refusal:
        read_spec(None, flags, settings)
    assert refusal.value.why and refusal.value.fix


def test_a_plan_without_arguments_leaves_them_to_be_set() -> None:
    spec = read_spec(None, {"data": "d", "model": "m", "plan": "l2_sp"}, ["plan.args.alpha=2.0"])
    assert (spec.plan.preset, spec.plan.args) == ("l2_sp", {"alpha": 2.0})


def test_a_flag_that_is_given_twice_is_refused(tether: Callable[..., Any]) -> None:
    done = tether("fit", "--model", "m", "--data", "d", "--epochs", "3", "--epochs", "3", "--print-spec")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: `--epochs` is given 2 times\nwhy: ")


@pytest.mark.parametrize(
    ("setting", "said", "fix"),
    [
        ("plan.overrides.*.bias=none", "`plan.overrides.*.bias` is no key", "--set 'plan.overrides.\"*.bias\"=…'"),
        ("plan.overrides={*.bias=none}", "begins as TOML and is none", '--set \'plan.overrides={"*.bias" = "none"}\''),
        ('data.path="my', "begins as TOML and is none", "--set 'data.path=\"some text\"'"),
        ("source.exclude=[fc.*]", "begins as TOML and is none", '--set \'source.exclude=["a", "b"]\''),
        ("seed", "has no `=`", "--set 'data.path=my photos'"),
        ("train..epochs=3", "is no key", "--set"),
        ("=3", "is no key", "--set"),
        ("seed=1\nprobe=true", "`--set seed` is ", ""),
        ("seed=1 # or 2", "`--set seed` is '1 # or 2'", ""),
        ("seed=1,", "`--set seed` is", ""),
        ("seed=1, 2", "`--set seed` is '1, 2'", ""),
        ("seed=", "`--set seed` is empty", "--set 'seed=0'"),
        ("seed=" + "[" * 3000, "begins as TOML", ""),
        ("a." * 3000 + "b=1", "is no key", ""),
    ],
)
def test_what_a_shell_took_apart_is_refused_with_its_quotes(setting: str, said: str, fix: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_spec(None, {"data": "d", "model": "m"}, [setting])
    assert said in refusal.value.what
    assert fix in refusal.value.fix
    assert refusal.value.why
    assert len(str(refusal.value)) < 900


def test_an_error_names_the_word_that_was_typed(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(LEAST)
    with pytest.raises(SettingsError, match=r"^`--epochs` is -1\nwhy: .*\nfix: --epochs 1, or leave it out"):
        read_spec(tmp_path / "run.toml", {"epochs": -1}, [])
    with pytest.raises(SettingsError, match=r"^`--mean`, item 2, is nan"):
        read_spec(tmp_path / "run.toml", {"mean": "0.5,nan"}, [])
    with pytest.raises(SettingsError, match=r"^`--set train.patience` is 'x'\nwhy: .*\nfix: --set 'train.patience=1'"):
        read_spec(tmp_path / "run.toml", {"epochs": 1}, ["train.patience=x"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numbers("0.5;0.5"), "`0.5;0.5` is not a number"),
        (lambda: rename_pair("encoder"), "`--rename encoder` has no `=`"),
        (lambda: rename_pair("=encoder"), "`--rename =encoder` has nothing before its `=`"),
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

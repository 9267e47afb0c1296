import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tether import L1, L2, Plan, RunSpec, fit, l2_sp
from tether.engine.build import RATES, build, plan
from tether.engine.retention import Retention
from tether.engine.trained import Trained
from tether.errors import CoverageTooLow, SettingsError
from tether.spec import PlanSpec

Settings = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (PlanSpec(preset="l2_sp"), l2_sp()),
        (PlanSpec(preset="l2_sp", args={"alpha": 2.0, "beta": 0.5}), l2_sp(2.0, 0.5)),
        (PlanSpec(preset="l2_sp", scale=10), Plan(L2(1.0), L2(0.1), via="gradient", name="l2_sp")),
        (PlanSpec(preset="l2_sp", via="prox"), Plan(L2(0.1), L2(0.01), via="prox", name="l2_sp")),
        (PlanSpec(transferred="L2(0.01) + L1(1e-4)"), Plan(L2(0.01) + L1(1e-4), None)),
        (
            PlanSpec(transferred='L2(1.0).toward("zero")', new="L2(0.5)", overrides={"*.bias": "none"}, via="gradient"),
            Plan(L2(1.0).toward("zero"), L2(0.5), {"*.bias": None}, "gradient"),
        ),
        (PlanSpec(), Plan()),
    ],
    ids=str,
)
def test_a_plan_is_what_its_spec_says(spec: PlanSpec, expected: Plan) -> None:
    assert plan(spec) == expected


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_is_left_open_is_settled_by_whether_there_is_a_source(
    settings: Settings, source_run: Path, optimizer: Any
) -> None:
    open_ = settings({"optimizer.name": optimizer})
    scratch = build(RunSpec.from_flags(open_)).spec
    tuned = build(RunSpec.from_flags(open_ | {"source.path": str(source_run)})).spec
    assert (scratch.plan.preset, tuned.plan.preset) == ("none", "l2_sp")
    assert (scratch.optimizer.lr, tuned.optimizer.lr) == (RATES[optimizer, False], RATES[optimizer, True])
    assert 3 < scratch.optimizer.lr / tuned.optimizer.lr < 3.5


@pytest.mark.parametrize(("batch", "epochs"), [(18, 60), (6, 20), (5, 20), (4, 15), (1, 15)])
def test_a_run_is_15_epochs_long_or_as_many_as_make_60_steps(settings: Settings, batch: int, epochs: int) -> None:
    open_ = settings({"train.batch_size": batch})  # 18 pictures
    del open_["train.epochs"]
    job = build(RunSpec.from_flags(open_))
    assert (job.epochs, job.spec.train.epochs) == (epochs, epochs)
    assert job.steps == epochs * (18 // batch) >= 60


@pytest.mark.parametrize(
    ("old", "new", "matching"),
    [("conv", "layer", {"source.rename": [("^layer", "conv")]}), ("", "x_", {"source.by": "order"})],
)
def test_a_source_with_other_names_is_matched_as_the_spec_says(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path, old: str, new: str, matching: dict[str, Any]
) -> None:
    tensors = Trained.load(source_run).model.state_dict()
    torch.save({name.replace(old, new, 1): value for name, value in tensors.items()}, tmp_path / "other.pt")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    given = {"source.path": str(tmp_path / "other.pt"), "source.classes": str(tmp_path / "classes.txt")}
    given |= {"source.data": str(stripes()), "preprocessing.mean": (0.5,), "preprocessing.std": (0.5,)}
    job = build(RunSpec.from_flags(settings(given | matching)))
    assert all(torch.equal(value, tensors[name]) for name, value in job.model.named_parameters())
    found = Retention(job).measure(job.model)
    assert found["kept"] == found["source"] > 0.8


def test_how_much_must_fit_is_the_specs(settings: Settings, source_run: Path) -> None:
    little = settings({"source.path": str(source_run), "source.exclude": ["embed.*"]})
    with pytest.raises(CoverageTooLow):
        build(RunSpec.from_flags(little))
    job = build(RunSpec.from_flags(little | {"source.coverage": 0.1}))
    assert set(job.moved.anchor.new) == {"embed.weight", "embed.bias"}


def test_shared_class_names_give_new_and_transferred_rows(settings: Settings, stripes: Any, source_run: Path) -> None:
    spec = RunSpec.from_flags(settings({"source.path": str(source_run), "data.path": str(stripes("bcd"))}))
    job = build(spec)
    source, head = load_file(source_run / "model.safetensors"), job.model.get_parameter("head.weight")
    assert torch.equal(head[:2], source["head.weight"][1:])  # b, c
    assert head[2].abs().sum() == 0  # d
    roles = {(part.name, part.role): part for part in job.leash.parts}
    assert roles["head.weight", "transferred"].rows.tolist() == [0, 1]
    assert roles["head.weight", "new"].rows.tolist() == [2]
    assert roles["head.weight", "new"].reference is None


def test_a_new_head_starts_at_zero_and_every_class_is_as_likely(settings: Settings, source_run: Path) -> None:
    job = build(RunSpec.from_flags(settings({"source.path": str(source_run), "source.exclude": ["head.*"]})))
    assert all(not p.any() for p in job.model.get_submodule("head").parameters())
    pictures, _ = next(job.task.still("test"))
    assert not job.model(pictures).any()


def test_the_heads_new_rows_start_at_zero_or_as_the_network_draws_them(
    settings: Settings, stripes: Any, source_run: Path
) -> None:
    shared = settings({"source.path": str(source_run), "data.path": str(stripes("bcd"))})
    zero, drawn = (build(RunSpec.from_flags(shared | {"source.head": start})) for start in ("zero", "random"))
    scratch = build(RunSpec.from_flags(settings({"data.path": str(stripes("bcd"))})))
    for name in ("head.weight", "head.bias"):
        source = drawn.source.tensors[name]
        for job, new in ((zero, torch.zeros_like(source)), (drawn, scratch.model.get_parameter(name))):
            assert torch.equal(job.model.get_parameter(name)[:2], source[1:])  # b, c
            assert torch.equal(job.model.get_parameter(name)[2], new[2])  # d
    others = [name for name, _ in zero.model.named_parameters() if not name.startswith("head.")]
    assert all(torch.equal(zero.model.get_parameter(name), drawn.model.get_parameter(name)) for name in others)


def test_of_a_head_of_several_layers_the_last_one_starts_at_zero(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_deep_head.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__()\n"
        "        self.body = nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.ReLU())\n"
        "        self.fc = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, num_classes))\n"
        "    def get_classifier(self): return self.fc\n"
        "    def forward(self, x): return self.fc(self.body(x))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    scratch = settings({"model.name": "a_deep_head:Net", "train.epochs": 1})
    fit(RunSpec.from_flags(scratch), tmp_path / "run")
    changes = {"source.path": str(tmp_path / "run"), "source.exclude": ["fc.*"]}
    model = build(RunSpec.from_flags(scratch | changes)).model
    assert model.get_parameter("fc.0.weight").any()
    assert not model.get_parameter("fc.2.weight").any()
    logits = model(torch.rand(2, 1, 12, 12))
    logits.sum().backward()
    assert model.get_parameter("fc.2.weight").grad.any()  # with all of the head at zero, nothing would ever move


def test_what_is_given_stays(settings: Settings, source_run: Path) -> None:
    given = {"source.path": str(source_run), "plan.preset": "none", "optimizer.lr": 0.5, "data.augment": "none"}
    spec = build(RunSpec.from_flags(settings(given))).spec
    assert (spec.plan.preset, spec.optimizer.lr, spec.data.augment) == ("none", 0.5, "none")


def test_a_small_net_gets_one_thread_when_none_is_given(settings: Settings) -> None:
    plain = settings()
    del plain["threads"]
    assert build(RunSpec.from_flags(plain)).spec.threads == 1


def test_building_twice_gives_the_same_weights(settings: Settings) -> None:
    one, two = (build(RunSpec.from_flags(settings())).model for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_another_seed_gives_another_start(settings: Settings) -> None:
    one, two = (build(RunSpec.from_flags(settings({"seed": seed}))).model for seed in (0, 1))
    assert not torch.equal(one.get_parameter("conv1.weight"), two.get_parameter("conv1.weight"))


def test_only_the_transferred_layers_keep_their_statistics(settings: Settings, resnet_run: Path) -> None:
    changes = {"model.name": "cifar-resnet20", "source.path": str(resnet_run), "source.exclude": ["bn1.*", "linear.*"]}
    job = build(RunSpec.from_flags(settings(changes)))
    job.train_mode()
    still = {name for name, module in job.model.named_modules() if not module.training}
    assert "bn1" not in still
    assert len(still) == 18  # two in each of nine blocks
    updating = build(RunSpec.from_flags(settings(changes | {"batchnorm": "update"})))
    updating.train_mode()
    assert all(module.training for module in updating.model.modules())


def test_a_scratch_network_keeps_its_own_start_and_has_no_source_value(settings: Settings) -> None:
    job = build(RunSpec.from_flags(settings({"plan.preset": "l2"})))
    assert job.model.get_parameter("head.weight").any()
    assert not job.leash.anchor.references
    assert {part.role for part in job.leash.parts} == {"new"}


def test_frozen_parameters_need_no_gradient(settings: Settings, source_run: Path) -> None:
    changes = {"source.path": str(source_run), "source.exclude": ["head.*"], "plan.preset": "frozen"}
    job = build(RunSpec.from_flags(settings(changes)))
    assert {name for name, p in job.model.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}


def test_of_a_head_that_is_partly_new_only_the_new_rows_move_when_frozen(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = {"source.path": str(source_run), "data.path": str(stripes("bcd")), "plan.preset": "frozen"}
    fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    source, found = (load_file(folder / "model.safetensors") for folder in (source_run, tmp_path / "run"))
    for name in ("head.weight", "head.bias"):
        assert torch.equal(found[name][:2], source[name][1:])  # b, c
        assert found[name][2].any()  # d
    assert all(torch.equal(found[name], source[name]) for name in found if not name.startswith("head."))


def test_a_network_by_dotted_name_is_built_and_found_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_net_of_mine.py").write_text(
        "from torch import nn\n"
        "def Net(num_classes, width):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(144, width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    changes = {"model.name": "a_net_of_mine:Net", "model.args": {"width": 5}, "data.augment": "none"}
    record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    trained = Trained.load(tmp_path / "run", trust_code=True)
    assert trained.model[1].out_features == 5
    assert record.spec.model.args == {"width": 5}
    tuned = fit(RunSpec.from_flags(settings(changes | {"source.path": str(tmp_path / "run")})), tmp_path / "tuned")
    assert tuned.outcome["steps_acted"] == 9


class DeepHead(torch.nn.Module):
    def __init__(self, num_classes: int, width: int = 8) -> None:
        super().__init__()
        self.body = torch.nn.Linear(144, 16)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(16, width), torch.nn.ReLU(), torch.nn.Linear(width, num_classes)
        )

    def get_classifier(self) -> torch.nn.Module:
        return self.head

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(pictures.flatten(1)).relu())


class FixedSize(DeepHead):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        assert pictures.shape[-1] == 16, "made for 16 pixels"
        return super().forward(pictures)


class TwoOutputs(DeepHead):
    def __init__(self, num_classes: int) -> None:
        super().__init__(2)


def test_only_the_last_layer_of_a_deep_head_starts_at_zero(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "here", sys.modules[__name__])
    scratch = settings({"model.name": "here:DeepHead"})
    fit(RunSpec.from_flags(scratch), tmp_path / "source")
    wider = {"model.args": {"width": 12}, "source.path": str(tmp_path / "source"), "source.exclude": ["head.*"]}
    head = build(RunSpec.from_flags(scratch | wider)).model.head
    assert head[0].weight.any() and not head[2].weight.any() and not head[2].bias.any()


@pytest.mark.parametrize(("name", "message"), [("FixedSize", "made for 16 pixels"), ("TwoOutputs", "gives (2, 2)")])
def test_a_network_that_does_not_fit_the_pictures_is_refused_before_anything_is_written(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "here", sys.modules[__name__])
    with pytest.raises(SettingsError) as refusal:
        fit(RunSpec.from_flags(settings({"model.name": f"here:{name}"})), tmp_path / "run")
    assert message in str(refusal.value)
    assert not (tmp_path / "run").exists()

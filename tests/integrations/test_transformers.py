"""TetherCallback in Transformers' Trainer: from start to end, and from a checkpoint on."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import DoubleDecay, MatchError, SettingsError
from tether.integrations.transformers import ANCHOR, TetherCallback
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.schedule import Cosine

PLAN = Plan(L2(2.0).toward("source", Cosine(20)), L2(0.3))


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.body(x))
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {"x": torch.randn(5, generator=generator), "labels": torch.tensor(index % 3)}


def tethered(model: nn.Module, plan: Plan = PLAN) -> Tether:
    return Tether(model, Anchor.of(model, new="head.*"), plan)


def trainer(model: nn.Module, leash: Tether | None, folder: Path, *, way: str = "prox", **settings: Any) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder),
        **{
            "max_steps": 10,
            "per_device_train_batch_size": 8,
            "learning_rate": 0.01,
            "lr_scheduler_type": "constant",
            "use_cpu": True,
            "save_steps": 4,
            "logging_steps": 2,
            "report_to": [],
            "disable_tqdm": True,
            "data_seed": 0,
            **settings,
        },
    )
    callbacks = [] if leash is None else [TetherCallback(leash, via=way)]
    return Trainer(model, arguments, train_dataset=Data(), callbacks=callbacks)


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("way", ["gradient", "prox"])
@pytest.mark.parametrize("rotate", [None, 1])
def test_a_run_that_goes_on_ends_on_the_bits_of_one_never_cut(way: str, rotate: int | None, tmp_path: Path):
    whole = Net()
    trainer(whole, tethered(whole), tmp_path / "whole", way=way).train()
    cut = Net()
    start = tethered(cut).anchor.digest
    trainer(cut, tethered(cut), tmp_path / "cut", way=way, max_steps=8, save_total_limit=rotate).train()
    again = Net(seed=5)
    again.load_state_dict(cut.state_dict())  # trained weights: an anchor made of them is not the source's
    leash = tethered(again)
    assert leash.anchor.digest != start
    going = trainer(again, leash, tmp_path / "cut", way=way, save_total_limit=rotate)
    going.train(resume_from_checkpoint=True)
    assert same(again, whole)
    assert leash.anchor.digest == start
    assert leash.acted_on == "the penalty acted on 10 of 10 steps"


def test_the_first_checkpoint_may_be_gone_on_from_as_well(tmp_path: Path):
    whole = Net()
    trainer(whole, tethered(whole), tmp_path).train()
    again = Net()
    leash = tethered(again)
    trainer(again, leash, tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert same(again, whole)


def test_a_checkpoint_without_a_tether_is_refused(tmp_path: Path):
    model = Net()
    trainer(model, None, tmp_path, max_steps=4).train()
    with pytest.raises(MatchError, match="written without a tether"):
        trainer(model, tethered(model), tmp_path).train(resume_from_checkpoint=True)


def test_an_anchor_that_is_not_the_checkpoints_is_refused_by_path(tmp_path: Path):
    model = Net()
    trainer(model, tethered(model), tmp_path, max_steps=4).train()
    (tmp_path / ANCHOR).unlink()
    with pytest.raises(MatchError, match=f"{ANCHOR}` is not there"):
        trainer(model, tethered(model), tmp_path).train(resume_from_checkpoint=True)
    tethered(Net(seed=3)).anchor.save(tmp_path / ANCHOR)
    with pytest.raises(MatchError, match="is another anchor"):
        trainer(model, tethered(model), tmp_path).train(resume_from_checkpoint=True)


def test_an_anchor_with_another_head_is_refused(tmp_path: Path):
    model = Net()
    trainer(model, tethered(model), tmp_path, max_steps=4).train()
    model = Net()
    other = Tether(model, Anchor.of(model, new=["head.*", "body.0.bias"]), PLAN)
    with pytest.raises(MatchError, match="differ in what is new"):
        trainer(model, other, tmp_path).train(resume_from_checkpoint=True)


def test_no_pickle_is_written_for_it(tmp_path: Path):
    model = Net()
    trainer(model, tethered(model), tmp_path, max_steps=4).train()
    state = json.loads((tmp_path / "checkpoint-4/trainer_state.json").read_text())
    kept = state["stateful_callbacks"]["TetherCallback"]["attributes"]
    assert kept["leash"]["seen"] == kept["leash"]["acted"] == 4
    assert Anchor.load(tmp_path / ANCHOR).digest == kept["anchor"]


@pytest.mark.parametrize("policy", ["source", "update"])
def test_running_statistics_are_kept_as_the_policy_says(policy: str, tmp_path: Path):
    model = Net()
    leash = tethered(model)
    before = model.body[1].running_mean.clone()
    arguments = trainer(model, None, tmp_path).args
    callback = TetherCallback(leash, batchnorm=policy)
    Trainer(model, arguments, train_dataset=Data(), callbacks=[callback]).train()
    assert torch.equal(model.body[1].running_mean, before) == (policy == "source")
    model.train()
    model.body(torch.randn(8, 5))  # after training the layer is the user's again
    assert not torch.equal(model.body[1].running_mean, before)


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(SettingsError, match="batchnorm='frozen'"):
        TetherCallback(tethered(Net()), batchnorm="frozen")


def test_the_trainers_own_decay_is_refused_or_replaced(tmp_path: Path):
    model = Net()
    with pytest.raises(DoubleDecay, match=r"weight_decay=0.1 acts on held parameters"):
        trainer(model, tethered(model), tmp_path, weight_decay=0.1).train()
    model = Net()
    leash = tethered(model)
    arguments = trainer(model, None, tmp_path, weight_decay=0.1, max_steps=2).args
    callback = TetherCallback(leash, own_decay="replace")
    Trainer(model, arguments, train_dataset=Data(), callbacks=[callback]).train()
    assert leash.acted_on == "the penalty acted on 2 of 2 steps"


def test_its_figures_stand_beside_the_trainers(tmp_path: Path):
    model = Net()
    host = trainer(model, tethered(model), tmp_path)
    host.train()
    rows = [row for row in host.state.log_history if "loss" in row]
    assert [row["tether/steps_acted"] for row in rows] == [2, 4, 6, 8, 10]
    assert all(row["tether/displacement"] > 0 for row in rows)


def test_a_second_train_is_held_too(tmp_path: Path):
    model = Net()
    leash = tethered(model)
    host = trainer(model, leash, tmp_path, max_steps=3)
    host.train()
    host.train()
    assert leash.acted_on == "the penalty acted on 6 of 6 steps"
    assert leash.attachment is None


def test_a_callback_that_would_be_built_anew_is_refused(tmp_path: Path):
    model = Net()
    with pytest.raises(SettingsError, match="restore_callback_states_from_checkpoint"):
        trainer(model, tethered(model), tmp_path, restore_callback_states_from_checkpoint=True)

"""What both trainers' callbacks hold between the start of a run and its end, where the start or the end is unusual."""

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch import Trainer as Lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError, MatchError, RunExists
from tether.integrations.lightning import TetherCallback as OfLightning
from tether.integrations.transformers import ANCHOR
from tether.integrations.transformers import TetherCallback as OfTransformers
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

PLAN = Plan(L2(0.5), L2(0.3))
STEPS = 5
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Net(nn.Module):
    """Two kinds of norm: one with parameters, and one that only its place in the model tells apart."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.BatchNorm1d(8, affine=False))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.body(x))
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Around(LightningModule):
    """A module of Lightning's, and a plain model of Transformers', with the net inside."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, labels: Tensor) -> Any:
        return self.net(x, labels)

    def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
        return self.net(**batch)["loss"]

    def validation_step(self, batch: dict[str, Tensor], number: int) -> None:
        self.net(**batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Data(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 8 * STEPS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {"x": torch.randn(5, generator=generator), "labels": torch.tensor(index % 3)}


class At(TrainerCallback):
    """Calls `act` when `step` has been made."""

    def __init__(self, step: int, act: Callable[[Any], None]) -> None:
        self.step, self.act = step, act

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.act(control)


def tethered(model: nn.Module, plan: Plan = PLAN) -> Tether:
    return Tether(model, Anchor.of(model, new="*head.*"), plan)


def lightning(leash: Tether, folder: Path, *others: Any, **settings: Any) -> Lightning:
    return Lightning(
        accelerator="cpu",
        devices=1,
        callbacks=[OfLightning(leash), *others],
        logger=False,
        enable_checkpointing=bool(others),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **{"max_epochs": 1, **settings},
    )


def transformers(model: nn.Module, callbacks: list[Any], folder: Path, **settings: Any) -> Trainer:
    given = {"max_steps": STEPS, "optim": "sgd", "learning_rate": 0.01, "save_strategy": "no", **settings}
    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=8, use_cpu=True, report_to=[], disable_tqdm=True, **given
    )
    return Trainer(model, arguments, train_dataset=Data(), callbacks=callbacks)


def run(host: str, model: nn.Module, leash: Tether, folder: Path) -> None:
    if host == "Lightning":
        lightning(leash, folder).fit(model, DataLoader(Data(), 8))
    else:
        transformers(model, [OfTransformers(leash)], folder).train()


hosts = pytest.mark.parametrize("host", ["Lightning", "Transformers"])


@hosts
def test_statistics_are_kept_also_where_the_tether_is_of_a_module_within(host: str, tmp_path: Path):
    outer = Around(Net())
    norms = [outer.net.body[1], outer.net.body[3]]
    before = [norm.running_mean.clone() for norm in norms]
    leash = tethered(outer.net)
    run(host, outer, leash, tmp_path)
    assert leash.acted_on == f"the penalty acted on {STEPS} of {STEPS} steps"
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    outer.train()(**next(iter(DataLoader(Data(), 8))))  # after training they are the user's again
    assert not any(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))


@hosts
def test_a_model_that_the_tether_was_not_made_of_is_refused_and_nothing_is_attached(host: str, tmp_path: Path):
    leash = tethered(Net())
    with pytest.raises(AttachError, match="the tether was made of another model"):
        run(host, Around(Net()), leash, tmp_path)
    assert leash.attachment is None


def test_steps_of_an_incomplete_accumulation_are_counted_as_the_host_makes_them(tmp_path: Path):
    outer = Around(Net())
    leash = tethered(outer)
    lightning(leash, tmp_path, accumulate_grad_batches=2).fit(outer, DataLoader(Data(), 8))
    assert leash.acted_on == "the penalty acted on 3 of 3 steps"  # 2 + 2 + 1 batches
    model = Net()
    leash = tethered(model)
    transformers(model, [OfTransformers(leash)], tmp_path, max_steps=3, gradient_accumulation_steps=2).train()
    assert leash.acted_on == "the penalty acted on 3 of 3 steps"


def test_a_run_stopped_within_an_epoch_ends_detached_with_its_count(tmp_path: Path):
    outer = Around(Net())
    leash = tethered(outer)
    lightning(leash, tmp_path, max_steps=3, max_epochs=-1).fit(outer, DataLoader(Data(), 8))
    assert (leash.acted_on, leash.attachment) == ("the penalty acted on 3 of 3 steps", None)
    model = Net()
    leash = tethered(model)
    stop = At(3, lambda control: setattr(control, "should_training_stop", True))
    transformers(model, [OfTransformers(leash), stop], tmp_path).train()
    assert (leash.acted_on, leash.attachment) == ("the penalty acted on 3 of 3 steps", None)


def test_validating_a_checkpoint_does_not_change_what_a_later_fit_is_held_to(tmp_path: Path):
    first = Around(Net())
    lightning(tethered(first), tmp_path, ModelCheckpoint(tmp_path, "kept")).fit(first, DataLoader(Data(), 8))
    second = Around(Net(seed=3))
    leash = tethered(second)
    own = leash.anchor.digest
    host = lightning(leash, tmp_path)
    host.validate(second, DataLoader(Data(), 8), ckpt_path=str(tmp_path / "kept.ckpt"), verbose=False)
    host.fit(second, DataLoader(Data(), 8))
    assert leash.anchor.digest == own
    assert leash.acted_on == f"the penalty acted on {STEPS} of {STEPS} steps"


def test_after_an_interrupted_run_a_new_trainer_holds_the_same_leash(tmp_path: Path):
    def interrupt(control: Any) -> None:
        raise KeyboardInterrupt

    model = Net()
    leash = tethered(model)
    host = transformers(model, [OfTransformers(leash), At(2, interrupt)], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        host.train()
    del host
    gc.collect()  # its optimiser with it
    transformers(model, [OfTransformers(leash)], tmp_path).train()
    assert leash.acted_on == f"the penalty acted on {2 + STEPS} of {2 + STEPS} steps"


def test_the_refused_checkpoint_and_its_folder_are_named(tmp_path: Path):
    model = Net()
    transformers(model, [], tmp_path, save_strategy="steps", save_steps=STEPS).train()
    host = transformers(model, [OfTransformers(tethered(model))], tmp_path, max_steps=2 * STEPS)
    with pytest.raises(MatchError, match=rf"`checkpoint-{STEPS}`.*`{tmp_path}`.*without a tether"):
        host.train(resume_from_checkpoint=True)


def test_the_anchor_of_checkpoints_is_not_written_over_by_another_run_in_their_folder(tmp_path: Path):
    model = Net()
    leash = tethered(model)
    kept = {"save_strategy": "steps", "save_steps": STEPS}
    transformers(model, [OfTransformers(leash)], tmp_path, **kept).train()
    other = Net(seed=4)
    with pytest.raises(RunExists, match=rf"{ANCHOR}` is what the checkpoints of an earlier run are held to"):
        transformers(other, [OfTransformers(tethered(other))], tmp_path, **kept).train()
    assert Anchor.load(tmp_path / ANCHOR).digest == leash.anchor.digest


def test_a_reporter_given_after_the_callback_gets_its_figures(tmp_path: Path):
    class Reporter(TrainerCallback):
        def __init__(self) -> None:
            self.figures: list[dict[str, Any]] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            self.figures.append(dict(logs))

    model, reporter = Net(), Reporter()
    transformers(model, [OfTransformers(tethered(model)), reporter], tmp_path, logging_steps=1).train()
    steps = [row["tether/steps_acted"] for row in reporter.figures if "loss" in row]
    assert steps == list(range(1, STEPS + 1))

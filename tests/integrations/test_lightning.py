"""TetherCallback in Lightning's Trainer: from start to end, and from a checkpoint on."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError, DoubleDecay, MatchError
from tether.integrations.lightning import TetherCallback
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.schedule import Cosine

PLAN = Plan(L2(2.0).toward("source", Cosine(20)), L2(0.3))
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Module(LightningModule):
    def __init__(self, seed: int = 0, *, decay: float = 0.0, optimisers: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 3)
        self.decay, self.optimisers = decay, optimisers
        self.automatic_optimization = optimisers == 1

    def training_step(self, batch: Any, number: int) -> Tensor:
        x, y = batch
        loss = cross_entropy(self.head(self.body(x)), y)
        if self.automatic_optimization:
            return loss
        every = self.optimizers()
        self.manual_backward(loss)
        for optimizer in every:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    def configure_optimizers(self) -> Any:
        if self.optimisers == 1:
            return torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=self.decay)
        parts = [list(self.body.parameters()), list(self.head.parameters())]
        return [torch.optim.SGD(part, lr=0.01) for part in parts]


def loader() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=generator)
    return DataLoader(TensorDataset(x, torch.arange(40) % 3), batch_size=8)


def tethered(module: nn.Module, plan: Plan = PLAN) -> Tether:
    return Tether(module, Anchor.of(module, new="head.*"), plan)


def trainer(leash: Tether | None, folder: Path, *, way: str = "prox", epochs: int = 4, **settings: Any) -> Trainer:
    callbacks: list[Any] = [ModelCheckpoint(folder / "kept", save_top_k=-1, save_last=True)]
    callbacks += [] if leash is None else [TetherCallback(leash, via=way)]
    given = {"logger": False, "callbacks": callbacks, **settings}
    return Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **given,
    )


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("way", ["gradient", "prox"])
def test_a_run_that_goes_on_ends_on_the_bits_of_one_never_cut(way: str, tmp_path: Path):
    whole = Module()
    trainer(tethered(whole), tmp_path / "whole", way=way).fit(whole, loader())
    cut = Module()
    start = tethered(cut).anchor.digest
    trainer(tethered(cut), tmp_path / "cut", way=way, epochs=2).fit(cut, loader())
    again = Module(seed=5)
    again.load_state_dict(cut.state_dict())  # trained weights: an anchor made of them is not the source's
    leash = tethered(again)
    assert leash.anchor.digest != start
    trainer(leash, tmp_path / "cut", way=way).fit(again, loader(), ckpt_path=tmp_path / "cut/kept/last.ckpt")
    assert same(again, whole)
    assert leash.anchor.digest == start
    assert leash.acted_on == "the penalty acted on 20 of 20 steps"


def test_a_checkpoint_of_it_loads_without_running_code(tmp_path: Path):
    module = Module()
    trainer(tethered(module), tmp_path, epochs=1).fit(module, loader())
    kept = torch.load(tmp_path / "kept/last.ckpt", weights_only=True)
    state = next(value for key, value in kept["callbacks"].items() if "TetherCallback" in key)
    assert state["leash"]["acted"] == 5
    assert set(state["references"]) == {name for name, _ in module.body.named_parameters(prefix="body")}


def test_a_checkpoint_without_a_tether_is_refused_by_path(tmp_path: Path):
    module = Module()
    trainer(None, tmp_path, epochs=1).fit(module, loader())
    with pytest.raises(MatchError, match=r"last.ckpt` was written without a tether"):
        trainer(tethered(module), tmp_path).fit(module, loader(), ckpt_path=str(tmp_path / "kept/last.ckpt"))


@pytest.mark.parametrize("policy", ["source", "update"])
def test_running_statistics_are_kept_as_the_policy_says(policy: str, tmp_path: Path):
    module = Module()
    before = module.body[1].running_mean.clone()
    callback = TetherCallback(tethered(module), batchnorm=policy)
    trainer(None, tmp_path, epochs=1, callbacks=[callback], enable_checkpointing=False).fit(module, loader())
    assert torch.equal(module.body[1].running_mean, before) == (policy == "source")


def test_the_optimisers_own_decay_is_refused_or_replaced(tmp_path: Path):
    module = Module(decay=0.01)
    with pytest.raises(DoubleDecay, match=r"weight_decay=0.01 acts on held parameters"):
        trainer(tethered(module), tmp_path).fit(module, loader())
    leash = tethered(module)
    callback = TetherCallback(leash, own_decay="replace")
    trainer(None, tmp_path, epochs=1, callbacks=[callback], enable_checkpointing=False).fit(module, loader())
    assert leash.acted_on == "the penalty acted on 5 of 5 steps"


def test_of_several_optimisers_the_one_with_all_that_is_held_is_attached_to(tmp_path: Path):
    module = Module(optimisers=2)
    leash = tethered(module, Plan(L2(0.5)))
    trainer(leash, tmp_path, epochs=1).fit(module, loader())
    assert leash.acted_on == "the penalty acted on 5 of 5 steps"
    module = Module(optimisers=2)
    with pytest.raises(AttachError, match="spread over 2 optimisers"):
        trainer(tethered(module), tmp_path).fit(module, loader())


def test_each_fit_makes_an_optimiser_and_each_is_attached_to(tmp_path: Path):
    module = Module()
    leash = tethered(module)
    host = trainer(leash, tmp_path, epochs=1)
    host.fit(module, loader())
    trainer(leash, tmp_path, epochs=1).fit(module, loader())
    assert leash.acted_on == "the penalty acted on 10 of 10 steps"
    assert leash.attachment is None


def test_a_run_that_fails_lets_go(tmp_path: Path):
    class Failing(Module):
        def on_train_batch_end(self, *args: Any) -> None:
            raise RuntimeError("stopped")

    module = Failing()
    leash = tethered(module)
    with pytest.raises(RuntimeError, match="stopped"):
        trainer(leash, tmp_path).fit(module, loader())
    assert leash.attachment is None


def test_a_dry_run_and_a_validation_before_are_no_trouble(tmp_path: Path):
    class Validating(Module):
        def validation_step(self, batch: Any, number: int) -> None:
            assert not self.training

    module = Validating()
    leash = tethered(module)
    host = trainer(leash, tmp_path, callbacks=[TetherCallback(leash)], fast_dev_run=True)
    host.validate(module, loader(), verbose=False)
    host.fit(module, loader(), loader())
    assert leash.acted_on == "the penalty acted on 1 of 1 steps"


def test_its_figures_are_logged(tmp_path: Path):
    module = Module()
    logger = CSVLogger(tmp_path)
    trainer(tethered(module), tmp_path, epochs=1, logger=logger, log_every_n_steps=1).fit(module, loader())
    header, *rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    assert "tether/displacement" in header
    assert len(rows) == 5


def test_the_older_package_of_lightning_takes_it_too(tmp_path: Path):
    import pytorch_lightning

    class Older(pytorch_lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 3)

        def training_step(self, batch: Any, number: int) -> Tensor:
            return cross_entropy(self.head(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Older()
    leash = Tether(module, Anchor.of(module), Plan(L2(0.5)))
    pytorch_lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[TetherCallback(leash)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    ).fit(module, loader())
    assert leash.acted_on == "the penalty acted on 5 of 5 steps"

"""A run saved with its host's own means and gone on from ends on the bits of one never cut, gathered pulls included."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether.anchor import Anchor
from tether.binding import Tether
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

STRONG = Plan(L2(0.5), L2(0.3))  # each step's pull acts at once
FAINT = Plan(L2(1e-4), L2(0.3))  # η·λ = 1e-5, gathered over seven steps


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.body(x).relu())
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {"x": torch.randn(5, generator=generator), "labels": torch.tensor(index % 3)}


def start(plan: Plan) -> tuple[nn.Module, torch.optim.Optimizer, Tether]:
    model = Net()
    leash = Tether(model, Anchor.of(model, new="head.*"), plan)
    return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), leash


def train(model: nn.Module, optimizer: Any, backward: Callable[[Tensor], None], steps: int = 5) -> None:
    for number in range(steps):
        row = Data()[number]
        backward(model(row["x"][None], row["labels"][None])["loss"])
        optimizer.step()
        optimizer.zero_grad()


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_faint_plan_is_gathered():
    model, optimizer, leash = start(FAINT)
    train(model, leash.attach(optimizer).attachment.optimizer(), Tensor.backward)
    assert any(total > 0 for total in leash.attachment.gathering.collected.values())


@pytest.mark.parametrize("plan", [STRONG, FAINT], ids=["at once", "gathered"])
def test_fabric_saves_and_loads_a_tether_with_the_rest(plan: Plan, tmp_path: Path):
    from lightning.fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    inner, plain, leash = start(plan)
    model, optimizer = fabric.setup(inner, plain)
    leash.attach(optimizer)
    whole = {"model": model, "optimizer": optimizer, "leash": leash}
    train(model, optimizer, fabric.backward)
    fabric.save(tmp_path / "kept.ckpt", whole)
    train(model, optimizer, fabric.backward)
    ended = state(inner)
    fabric.load(tmp_path / "kept.ckpt", whole)
    train(model, optimizer, fabric.backward)
    assert same(state(inner), ended)
    assert leash.acted_on == "the penalty acted on 10 of 10 steps"


def with_accelerate(plan: Plan, folder: Path, *, flush: bool) -> bool:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    inner, plain, leash = start(plan)
    model, optimizer = accelerator.prepare(inner, plain)
    leash.attach(optimizer)
    accelerator.register_for_checkpointing(leash)
    train(model, optimizer, accelerator.backward)
    if flush:
        leash.flush()
    accelerator.save_state(folder)
    train(model, optimizer, accelerator.backward)
    ended = state(inner)
    accelerator.load_state(folder)
    train(model, optimizer, accelerator.backward)
    return same(state(inner), ended)


@pytest.mark.parametrize("plan", [STRONG, FAINT], ids=["at once", "gathered"])
def test_accelerate_saves_a_flushed_tether_with_the_rest(plan: Plan, tmp_path: Path):
    assert with_accelerate(plan, tmp_path, flush=True)


def test_accelerate_saves_a_tether_with_what_is_gathered(tmp_path: Path):
    assert with_accelerate(FAINT, tmp_path, flush=False)


def test_transformers_saves_what_is_gathered_also_where_a_later_callback_asks_for_the_save(tmp_path: Path):
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from tether.integrations.transformers import TetherCallback

    class SaveAt(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_save = state.global_step == 5

    def trainer() -> tuple[nn.Module, Trainer]:
        model, optimizer, leash = start(FAINT)
        arguments = TrainingArguments(
            str(tmp_path), max_steps=10, per_device_train_batch_size=4, use_cpu=True, report_to=[], disable_tqdm=True
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        callbacks = [TetherCallback(leash), SaveAt()]
        return model, Trainer(
            model, arguments, train_dataset=Data(), optimizers=(optimizer, scheduler), callbacks=callbacks
        )

    whole, host = trainer()
    host.train()
    again, host = trainer()
    host.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert same(state(again), state(whole))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_cast_after_attaching_is_pulled_by_its_reference_in_the_new_dtype(dtype: torch.dtype):
    model, optimizer, leash = start(Plan(L2(10.0), L2(10.0)))
    leash.attach(optimizer)
    model.to(dtype)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    with torch.no_grad():
        model.body.weight.add_(1.0)
    source = leash.anchor.references["body.weight"].to(dtype)
    before = model.body.weight.detach() - source
    for _ in range(10):
        optimizer.step()
    leash.flush()
    # η = lr/(1 − momentum) = 0.1, so η·λ = 1 and each step halves δ; bfloat16 rounds the weight to 8 bits
    tolerance = 1e-12 if dtype == torch.float64 else 2e-2
    torch.testing.assert_close(model.body.weight.detach() - source, before / 2**10, rtol=0, atol=tolerance)

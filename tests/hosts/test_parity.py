"""The same batches give the same bits in a raw loop, Fabric, Lightning, Transformers and Accelerate."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import schedulefree
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import TetherError
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

BATCHES, SIZE = 12, 4
PAGE = (Path(__file__).parents[2] / "docs" / "hosts.md").read_text(encoding="utf-8")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
logging.getLogger("lightning.fabric").setLevel(logging.ERROR)


class Net(nn.Module):
    """A classifier that returns its loss, as Transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.body = nn.Sequential(nn.Linear(6, 8, bias=False), nn.LayerNorm(8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, words: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.body(self.embed(words).mean(1)))
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Matrices(nn.Module):
    """The same with matrices alone, which Muon takes; or with a sparse gradient, which SparseAdam takes."""

    def __init__(self, *, sparse: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 3, sparse=sparse)
        self.head = nn.Identity() if sparse else nn.Linear(3, 3, bias=False)

    def forward(self, words: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.embed(words).mean(1))
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.words = torch.randint(10, (BATCHES * SIZE, 5), generator=generator)
        self.labels = torch.randint(3, (BATCHES * SIZE,), generator=generator)

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"words": self.words[index], "labels": self.labels[index]}


@dataclass(frozen=True)
class Case:
    """One way to train."""

    plan: Plan | None
    make: Callable[[Any], torch.optim.Optimizer]
    via: str | None = None
    metric: str | None = None
    accumulate: int = 1
    clip: float = 0.0
    bf16: bool = False
    net: Callable[[], nn.Module] = Net
    closure: bool = False

    def start(self) -> tuple[nn.Module, Tether | None, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = self.net()
        leash = None
        if self.plan is not None:
            leash = Tether(
                model, Anchor.of(model, new="head.*" if dict(model.head.named_parameters()) else ()), self.plan
            )
        optimizer = self.make(model.parameters())
        if hasattr(optimizer, "train"):
            optimizer.train()
        return model, leash, optimizer

    @property
    def how(self) -> dict[str, Any]:
        return {"via": self.via, "metric": self.metric}

    def autocast(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)


Result = tuple[dict[str, Tensor], Tether | None]


def ended(model: nn.Module, leash: Tether | None) -> Result:
    return {name: p.detach().clone() for name, p in model.named_parameters()}, leash


def raw(case: Case, folder: Path) -> Result:
    model, leash, optimizer = case.start()
    if leash is not None:
        leash.attach(optimizer, **case.how)
    model.train()
    for number, batch in enumerate(DataLoader(Data(), SIZE), start=1):

        def closure(batch: Any = batch) -> Tensor:
            optimizer.zero_grad()
            loss = model(**batch)["loss"]
            loss.backward()
            return loss

        if case.closure:
            optimizer.step(closure)
            continue
        with case.autocast():
            loss = model(**batch)["loss"]
        (loss / case.accumulate).backward()
        if number % case.accumulate == 0:
            if case.clip:
                nn.utils.clip_grad_norm_(model.parameters(), case.clip)
            optimizer.step()
            optimizer.zero_grad()
    return ended(model, leash)


def fabric(case: Case, folder: Path, *, late: bool = False) -> Result:
    from lightning.fabric import Fabric

    host = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed" if case.bf16 else "32-true")
    inner, leash, plain = case.start()
    if leash is not None and not late:
        leash.attach(plain, **case.how)
    model, optimizer = host.setup(inner, plain)
    if leash is not None and late:
        leash.attach(optimizer, **case.how)
    model.train()
    for number, batch in enumerate(host.setup_dataloaders(DataLoader(Data(), SIZE)), start=1):
        if case.closure:

            def closure(batch: Any = batch) -> Tensor:
                optimizer.zero_grad()
                loss = model(**batch)["loss"]
                host.backward(loss)
                return loss

            optimizer.step(closure)
            continue
        waiting = number % case.accumulate != 0
        with host.no_backward_sync(model, enabled=waiting):
            host.backward(model(**batch)["loss"] / case.accumulate)
        if not waiting:
            if case.clip:
                host.clip_gradients(model, optimizer, max_norm=case.clip, error_if_nonfinite=False)
            optimizer.step()
            optimizer.zero_grad()
    return ended(inner, leash)


def lightning(case: Case, folder: Path) -> Result:
    from lightning.pytorch import LightningModule, Trainer

    from tether.integrations.lightning import TetherCallback

    net, leash, optimizer = case.start()

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, number: int) -> Tensor:
            return self.net(**batch)["loss"]

        def configure_optimizers(self) -> Any:
            return optimizer

    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        accumulate_grad_batches=case.accumulate,
        gradient_clip_val=case.clip or None,
        precision="bf16-mixed" if case.bf16 else "32-true",
        callbacks=[] if leash is None else [TetherCallback(leash, **case.how)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Module(), DataLoader(Data(), SIZE))
    return ended(net, leash)


def transformers(case: Case, folder: Path) -> Result:
    from transformers import Trainer, TrainingArguments

    from tether.integrations.transformers import TetherCallback

    model, leash, optimizer = case.start()

    class InOrder(Trainer):
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=SIZE,
        gradient_accumulation_steps=case.accumulate,
        max_grad_norm=case.clip,
        bf16=case.bf16,
        use_cpu=True,
        lr_scheduler_type="constant",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )
    trainer = InOrder(
        model,
        arguments,
        train_dataset=Data(),
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
        callbacks=[] if leash is None else [TetherCallback(leash, **case.how)],
    )
    trainer.train()
    return ended(model, leash)


def accelerate(case: Case, folder: Path, *, late: bool = False) -> Result:
    from accelerate import Accelerator

    host = Accelerator(
        cpu=True, gradient_accumulation_steps=case.accumulate, mixed_precision="bf16" if case.bf16 else "no"
    )
    inner, leash, plain = case.start()
    if leash is not None and not late:
        leash.attach(plain, **case.how)
    model, optimizer, loader = host.prepare(inner, plain, DataLoader(Data(), SIZE))
    if leash is not None and late:
        leash.attach(optimizer, **case.how)
    model.train()
    for batch in loader:
        if case.closure:

            def closure(batch: Any = batch) -> Tensor:
                optimizer.zero_grad()
                loss = model(**batch)["loss"]
                host.backward(loss)
                return loss

            optimizer.step(closure)
            continue
        with host.accumulate(model):
            host.backward(model(**batch)["loss"])
            if host.sync_gradients and case.clip:
                host.clip_grad_norm_(model.parameters(), case.clip)
            optimizer.step()
            optimizer.zero_grad()
    return ended(inner, leash)


HOSTS = {
    "raw loop": raw,
    "Fabric": fabric,
    "Lightning": lightning,
    "Transformers": transformers,
    "Accelerate": accelerate,
}
OTHERS = {name: host for name, host in HOSTS.items() if name != "raw loop"}
PLAN = Plan(L2(0.5) + L1(0.01), L2(0.3))
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"accumulate": 3},
    "clipping": {"clip": 0.05},
    "bf16 autocast": {"bf16": True},
    "all three": {"accumulate": 3, "clip": 0.05, "bf16": True},
}


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True)


def adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.0)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize("via", ["gradient", "prox"])
@pytest.mark.parametrize("make", [sgd, adamw], ids=["sgd", "adamw"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_host_ends_on_the_bits_of_the_raw_loop(host: str, via: str, make: Any, settings: str, tmp_path: Path):
    case = Case(PLAN, make, via=via, **SETTINGS[settings])
    found, leash = OTHERS[host](case, tmp_path)
    expected, _ = raw(case, tmp_path)
    plain, _ = raw(replace(case, plan=None), tmp_path)
    assert same(found, expected)
    assert not any(torch.equal(found[name], plain[name]) for name in found)
    steps = BATCHES // case.accumulate
    assert leash.acted_on == f"the penalty acted on {steps} of {steps} steps"


@pytest.mark.parametrize("host", ["Fabric", "Accelerate"])
def test_a_wrapped_optimiser_may_be_attached_to_as_well(host: str, tmp_path: Path):
    case = Case(PLAN, adamw, via="prox")
    found, leash = OTHERS[host](case, tmp_path, late=True)
    assert same(found, raw(case, tmp_path)[0])
    assert leash.steps_acted == BATCHES


def makers() -> dict[str, tuple[Callable[[Any], torch.optim.Optimizer], dict[str, Any]]]:
    """Every optimiser of `torch.optim` and of schedule-free by name, with what a case of it needs."""
    special: dict[str, dict[str, Any]] = {"ASGD": {"lambd": 0.0}, "Muon": {"weight_decay": 0.0}}
    special["AdamW"] = {"weight_decay": 0.0}
    needs: dict[str, dict[str, Any]] = {
        "LBFGS": {"closure": True},
        "Muon": {"net": Matrices},
        "SparseAdam": {"net": lambda: Matrices(sparse=True)},
    }
    kinds = {
        name: kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    kinds |= {
        name: getattr(schedulefree, name) for name in ("SGDScheduleFree", "AdamWScheduleFree", "RAdamScheduleFree")
    }

    def maker(name: str) -> Callable[[Any], torch.optim.Optimizer]:
        return lambda parameters: kinds[name](list(parameters), lr=0.02, **special.get(name, {}))

    return {name: (maker(name), needs.get(name, {})) for name in kinds}


WAYS: dict[str, dict[str, str]] = {
    "gradient": {"via": "gradient"},
    "prox": {"via": "prox"},
    "metric": {"via": "prox", "metric": "optimizer"},
}


def table() -> dict[str, dict[str, set[str]]]:
    """Optimiser → host → the ways that the page says work."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    hosts = [cell.strip() for cell in lines[0].strip("|").split("|")][1:]
    rows = {}
    for line in lines[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name.strip("`")] = {
            host: set(re.findall(r"gradient|prox|metric", cell)) for host, cell in zip(hosts, cells, strict=True)
        }
    return rows


def test_the_page_has_a_row_for_every_optimiser_and_a_column_for_every_host():
    assert set(table()) == set(makers())
    assert all(set(row) == set(HOSTS) for row in table().values())
    assert all(row["raw loop"] for row in table().values())


@pytest.mark.parametrize("name", makers())
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", HOSTS)
def test_a_cell_of_the_page_is_what_happens(host: str, way: str, name: str, tmp_path: Path):
    make, needs = makers()[name]
    case = Case(Plan(L2(0.5)), make, **WAYS[way], **needs)
    if way not in table()[name][host]:
        with pytest.raises((TetherError, TypeError)) as refused:
            HOSTS[host](case, tmp_path)
        # torch itself refuses an LBFGS that gets no closure
        assert isinstance(refused.value, TetherError) or (name, host) == ("LBFGS", "Transformers")
        return
    found, leash = HOSTS[host](case, tmp_path)
    expected, _ = raw(case, tmp_path)
    plain, _ = raw(replace(case, plan=None), tmp_path)
    assert same(found, expected)
    assert not same(found, plain)
    assert leash.acted_on == f"the penalty acted on {BATCHES} of {BATCHES} steps"

"""From a spec to the objects of a run: the only place where they are put together."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tether.anchor import Anchor
from tether.binding import Tether
from tether.checkpoint.checkpoint import Checkpoint
from tether.checkpoint.resolve import load as load_checkpoint
from tether.curvature.information import Fisher
from tether.data.augment import default_kind
from tether.data.loading import load as load_pictures
from tether.data.split import split
from tether.engine.importance import importance
from tether.engine.preprocess import check_padding, settle
from tether.engine.probe import linear_head, start_at_probe
from tether.engine.source import read_classes, source_model
from tether.errors import MachineError, SettingsError, TetherError
from tether.escaping import terminal
from tether.matching.head import Head
from tether.matching.slots import slots
from tether.matching.transfer import Transfer, transfer
from tether.memory import is_out_of_memory
from tether.models.build import build as build_model
from tether.models.build import maker
from tether.params.select import parameters
from tether.penalties.frozen import Frozen
from tether.penalties.plan import Plan
from tether.penalties.presets import needs_fisher, preset, refuse_arguments
from tether.penalties.text import parse
from tether.record import cores
from tether.spec import PlanSpec, RunSpec
from tether.tasks.image import ImageTask, steps_per_epoch
from tether.terms.classify import Classify
from tether.terms.objective import Objective
from tether.terms.teacher import frozen
from tether.terms.text import parse as parse_objective

SMALL_NET = 1_000_000
EPOCHS, STEPS = 15, 60
RATES = {("adamw", False): 1e-3, ("adamw", True): 3e-4, ("sgd", False): 1e-2, ("sgd", True): 3e-3}


@dataclass(frozen=True, eq=False)
class Job:
    """All that one run needs, with every choice made and written into its spec.

    Args:
        probed: what is known of the probe that its head starts at.
    """

    spec: RunSpec
    task: ImageTask
    model: nn.Module
    source: Checkpoint | None
    moved: Transfer | None
    leash: Tether
    objective: Objective
    probed: dict[str, Any] | None = None

    @property
    def epochs(self) -> int:
        """Epochs to train, unless it stops early."""
        assert self.spec.train.epochs is not None
        return self.spec.train.epochs

    @property
    def steps(self) -> int:
        """Steps to train, unless it stops early."""
        return self.epochs * self.task.steps_per_epoch

    def train_mode(self) -> None:
        """Train, except that normalisation layers of the source keep its statistics where the spec says so."""
        self.model.train()
        if self.moved is not None and self.spec.batchnorm == "source":
            for name in self.moved.transferred_norms:
                self.model.get_submodule(name).eval()


def build(spec: RunSpec, *, started: bool = True) -> Job:
    """Make every object of a run; nothing is trained and nothing written.

    Args:
        started: fit the probe that a head may start at; in vain where the weights are taken from a checkpoint.

    Raises:
        InputError: whatever is wrong with data, source, network, plan or settings.

    """
    spec = _consistent(spec)
    maker(spec.model.name)
    source = load_checkpoint(spec.source.path) if spec.source else None
    pictures = load_pictures(spec.data.path, root=spec.data.root, skip_bad=spec.data.skip_bad)
    parts = split(pictures, spec.data, spec.seed)
    if spec.train.patience and not len(parts.validation):
        raise SettingsError(
            "`train.patience` needs validation pictures",
            why="progress is measured on them, and there are none",
            fix="--validation 0.2, or leave it out",
        )
    spec = spec.model_copy(update={"preprocessing": settle(spec, source, pictures, parts)})
    spec = _settled(spec, len(parts.train))
    torch.manual_seed(spec.seed)
    model = build_model(spec.model, len(pictures.classes), spec.preprocessing.channels)
    if source is not None:
        check_padding(spec.model, model, spec.preprocessing.padding)
    spec = _on_machine(spec, model)
    moved = None if source is None else _transfer(spec, source, model, pictures.classes)
    device = torch.device(spec.device or "cpu")
    model.to(device)
    anchor = moved.anchor if moved else Anchor({}, dict.fromkeys(parameters(model)))
    task = ImageTask.of(spec, pictures, parts)
    fisher = importance(spec, source, moved, task) if needs_fisher(spec.plan.preset) else None
    leash = Tether(model, anchor, plan(spec.plan, fisher))
    _freeze(leash, spec)
    job = Job(spec, task, model, source, moved, leash, _objective(spec, source))
    _try(job)
    return _started(job, fitted=started) if spec.source is not None and spec.source.head == "probe" else job


def plan(spec: PlanSpec, fisher: Fisher | None = None) -> Plan:
    """The plan that a spec describes; `fisher` is for the presets that need one.

    Raises:
        SettingsError, PlanError: an unknown preset or argument, or an expression that is no penalty.

    >>> print(plan(PlanSpec(preset="l2_sp", args={"alpha": 0.5}, scale=2)))
    l2_sp · transferred → source: L2(1.0) · new → zero: L2(0.02) · by gradient

    """
    overrides = {glob: parse(text) for glob, text in spec.overrides.items()}
    if spec.preset is not None:
        base = preset(spec.preset, spec.args if fisher is None else {**spec.args, "fisher": fisher})
        metric = spec.metric or base.metric
        made = Plan(base.transferred, base.new, overrides, spec.via or base.via, base.name, metric)
    else:
        transferred, new = (parse(text or "none") for text in (spec.transferred, spec.new))
        made = Plan(transferred, new, overrides, spec.via or "prox", metric=spec.metric or "identity")
    return made if spec.scale == 1 else made.scaled(spec.scale)


def _consistent(spec: RunSpec) -> RunSpec:
    if spec.plan.preset is None and spec.plan.transferred is None and spec.plan.new is None:
        chosen = "l2_sp" if spec.source else "none"
        spec = spec.model_copy(update={"plan": spec.plan.model_copy(update={"preset": chosen})})
    if needs_fisher(spec.plan.preset):
        refuse_arguments(str(spec.plan.preset), spec.plan.args, later=("fisher",))
    else:
        plan(spec.plan)
    parse_objective(spec.train.loss)
    if spec.probe and spec.source is None:
        raise SettingsError("`probe` needs a source", why="it measures the source's features", fix="--source …")
    return spec


def _settled(spec: RunSpec, pictures: int) -> RunSpec:
    prepared = spec.preprocessing
    assert prepared.size is not None and prepared.channels is not None
    return spec.replace(
        {
            "data.augment": spec.data.augment or default_kind(prepared.size, prepared.channels),
            "train.epochs": _epochs(spec, pictures),
            "optimizer.lr": spec.optimizer.lr or RATES[spec.optimizer.name, spec.source is not None],
        }
    )


def _epochs(spec: RunSpec, pictures: int) -> int:
    given = spec.train.epochs
    return max(EPOCHS, math.ceil(STEPS / steps_per_epoch(spec, pictures))) if given is None else given


def _on_machine(spec: RunSpec, model: nn.Module) -> RunSpec:
    small = sum(p.numel() for p in model.parameters()) < SMALL_NET
    device = spec.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError(
            "`device = cuda`, and torch finds no accelerator here",
            why="there is none, or torch was built without CUDA",
            fix="--device cpu",
        )
    return spec.replace({"threads": spec.threads or (1 if small else cores()), "device": device})


def _transfer(spec: RunSpec, source: Checkpoint, model: nn.Module, classes: tuple[str, ...]) -> Transfer:
    settings = spec.source
    assert settings is not None
    moved = transfer(
        source,
        into=model,
        by=settings.by,
        rename=settings.rename,
        exclude=settings.exclude,
        coverage=settings.coverage,
        source_classes=read_classes(settings.classes),
        target_classes=classes,
    )
    if settings.head == "zero":
        _start_at_zero(Head.of(model, slots(model), target_classes=classes), moved)
    return moved


@torch.no_grad()
def _start_at_zero(head: Head, moved: Transfer) -> None:
    """New rows of the last layer start at zero: a network's own start may drown the source's features at first."""
    named = parameters(moved.model)
    for name in head.parameters:
        if name in moved.anchor.new:
            mask = moved.anchor.new[name]
            named[name][slice(None) if mask is None else mask] = 0.0


def _objective(spec: RunSpec, source: Checkpoint | None) -> Objective:
    """What a batch adds up to, with the source model as the teacher of those terms that need one."""
    objective = parse_objective(spec.train.loss)
    if not any(isinstance(term, Classify) for _, term in objective.parts):
        raise SettingsError(
            f"`train.loss = {terminal(repr(spec.train.loss))}` learns no class",
            why="no term of it looks at the labels",
            fix="Classify() + …",
        )
    if not objective.untaught:
        return objective
    if source is None:
        raise SettingsError(
            f"`train.loss = {terminal(repr(spec.train.loss))}` needs a source as its teacher",
            why="a term of it holds the model to what a source says",
            fix="--source …",
        )
    return objective.bind(frozen(source_model(spec, source)).to(spec.device or "cpu"))


def _started(job: Job, *, fitted: bool) -> Job:
    head = linear_head(job.model, job.task)
    return replace(job, probed=start_at_probe(job.model, head, job.task, tested=job.spec.probe)) if fitted else job


def _freeze(leash: Tether, spec: RunSpec) -> None:
    """Spare the gradients of parameters that may not move at all."""
    for part in leash.parts:
        if isinstance(part.pull.penalty, Frozen) and part.rows is None:
            part.parameter.requires_grad_(False)
    if spec.train.epochs and not any(p.requires_grad for p in leash.parameters.values()):
        raise SettingsError(
            "no parameter is left to train",
            why="the plan holds all of them where they are",
            fix="a plan other than `frozen`, or a new head; or --epochs 0 to train nothing",
        )


@torch.no_grad()
def _try(job: Job) -> None:
    """Send one batch through the network before anything is written, so that what does not fit is refused."""
    name, prepared, classes = job.spec.model.name, job.spec.preprocessing, len(job.task.pictures.classes)
    assert prepared.channels is not None and prepared.size is not None
    shape = (2, prepared.channels, prepared.size, prepared.size)
    with torch.random.fork_rng(devices=[]):
        job.model.eval()
        try:
            logits = job.model(torch.zeros(shape, device=job.spec.device))
            if _is_of(logits, (2, classes)) and len(job.objective.parts) > 1:
                _try_objective(job, shape[1:])
        except TetherError:
            raise
        except Exception as error:  # another's network may fail in any way
            if is_out_of_memory(error) and job.spec.train.auto_batch:
                return  # the first step finds what fits
            if is_out_of_memory(error):
                raise MachineError(
                    f"out of memory before the first step: {str(error).partition(chr(10))[0]}",
                    why=f"the network and a batch of {job.spec.train.batch_size} do not fit",
                    fix="a smaller --batch-size or --size, or --auto-batch",
                ) from error
            raise SettingsError(
                f"`{name}` cannot take pictures of {' × '.join(map(str, shape[1:]))}: {error}",
                why=f"it raises {type(error).__name__}",
                fix=f"another --size or --set preprocessing.channels=…, or --set model.args.img_size={prepared.size}",
            ) from error
        finally:
            job.model.train()
    if not _is_of(logits, (2, classes)):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise SettingsError(
            f"`{name}` gives {found} for 2 pictures of {classes} classes",
            why=f"one logit a class is needed, so (2, {classes})",
            fix="a network that takes `num_classes` and returns its logits",
        )


@torch.enable_grad()
def _try_objective(job: Job, shape: tuple[int, ...]) -> None:
    """A whole batch, since some terms need as many pictures, and with gradients, which some must have."""
    count = job.spec.train.batch_size
    pictures = torch.zeros((count, *shape), device=job.spec.device)
    job.objective(job.model, (pictures, torch.zeros(count, dtype=torch.long, device=job.spec.device)))


def _is_of(found: object, shape: tuple[int, ...]) -> bool:
    return isinstance(found, torch.Tensor) and tuple(found.shape) == shape

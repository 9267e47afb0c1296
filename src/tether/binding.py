"""Tether: an anchor and a plan bound to a model's parameters."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tether.anchor import Anchor
from tether.errors import MatchError, PlanError
from tether.guard import few
from tether.held import Held
from tether.hooks import Attachment
from tether.membership import OwnDecay
from tether.params.select import aliases, parameters
from tether.penalties.plan import Metric, Plan, Role, Via
from tether.penalties.pull import Pull
from tether.references import References
from tether.roles import displacement, newness, roles_of
from tether.sharding import refuse_flattened, total, warn_of_parted_batches
from tether.stepsize import Step
from tether.summary import summarise
from tether.unwrap import refuse_partitioned

if TYPE_CHECKING:
    from tether.audit.objective import Batch, Loss
    from tether.audit.result import Audit
    from tether.audit.statistics import BatchNorm


class Tether:
    r"""Holds a model's parameters by a plan: $\Omega(\theta)=\sum_p\Omega_p(w_p-\mathrm{reference}_p)$.

    Raises:
        MatchError: the anchor is not of this model.
        NoParameterSelected: the plan selects nothing.
        PlanError: a group penalty over a partly new parameter, a reference that is not there, a new parameter held to
            its random start, or a LoRA factor that only its product could be held by.
        AttachError: DeepSpeed has partitioned the parameters, or FSDP1 has flattened them.

    >>> from tether.penalties.presets import l2_sp
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    >>> leash = Tether(model, Anchor.of(model, new="1.*"), l2_sp())
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> _ = leash.attach(optimizer)
    >>> model(torch.ones(1, 3)).sum().backward()
    >>> optimizer.step()
    >>> print(leash.acted_on)
    the penalty acted on 1 of 1 steps

    """

    def __init__(self, model: nn.Module, anchor: Anchor, plan: Plan) -> None:
        named = parameters(model)
        refuse_partitioned(named.items())
        refuse_flattened(model)
        _refuse_foreign(anchor, named)
        anchor = anchor.apart_from(named)
        self.anchor, self.plan, self.references = anchor, plan, References(anchor)
        self.attachment: Attachment | None = None
        self._history = [0, 0]
        self._left: dict[str, Any] = {}
        unheldable = {name: f"{p.dtype}" for name, p in named.items() if not p.dtype.is_floating_point}
        roles = {name: roles_of(name, anchor) for name in named if name not in unheldable}
        names = {name: others for name, others in aliases(model).items() if name in roles}
        pulls = plan.pulls(names, roles)
        self.parts = tuple(self._bind(named[name], name, role, pull) for (name, role), pull in pulls.items())
        self.model, self.parameters = model, named
        self.frozen = frozenset(name for name, p in named.items() if not p.requires_grad)
        self.roles = roles
        self.free = {name: unheldable.get(name, "left free by the plan") for name in named}
        for name, _ in pulls:
            self.free.pop(name, None)
        _refuse_lora([part.name for part in self.parts if part.parameter.requires_grad])

    def value(self) -> Float[Tensor, ""]:
        """Ω(θ) as a scalar, with the strengths that the plan's schedules have at this step.

        Differentiable while no optimiser is attached, so that it can be a term of a loss of your own; while one is, the
        pulls act in its step, and the value carries no gradient, so that nothing is counted twice. Where parameters are
        sharded, every process must ask, for this as for `log` and `summary`: each adds its part, and gets the whole.

        Raises:
            HooksLost: an optimiser was attached and is gone or has lost its hooks.

        """
        if self.attachment is not None:
            self.attachment.check()
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.attachment is None):
            return total(
                (part.pull.schedule.factor(self.steps_seen) * part.share(), part.parameter) for part in self.parts
            )

    def attach(
        self,
        optimizer: Any,
        *,
        via: Via | None = None,
        metric: Metric | None = None,
        own_decay: OwnDecay = "refuse",
        step: Step | float | None = None,
    ) -> "Tether":
        """Make the pulls act once in each step of `optimizer`; returns the tether.

        Args:
            optimizer: any `torch.optim.Optimizer`, or Accelerate's or Fabric's wrapper of one.
            via: the plan's own way, `"gradient"` or `"prox"`, when not given.
            metric: the plan's own when not given; `"optimizer"` lets the prox take the optimiser's step for each value.
            own_decay: `"replace"` sets the optimiser's own weight decay to zero where it would act on held parameters.
            step: the effective step, as a number or a function of a parameter group, for an optimiser not in the table.

        Raises:
            AttachError: see `tether.hooks.Attachment`; nothing is changed then.
            MatchError: a file that references are mapped from has changed.
            PlanError: there is no such way to act, or a penalty of the plan cannot act so.
            NoClosedForm: a sum that has no proximal map is to act by prox.

        Warns: several processes train, and BatchNorm layers take the statistics of each one's part of a batch.

        """
        via = via or self.plan.via
        metric = metric or (self.plan.metric if via == "prox" else "identity")
        self.plan.refuse_unless_acts(via, metric)
        self.references.verify()
        warn_of_parted_batches(self.model)
        before = self.attachment
        self.detach()
        try:
            self.attachment = Attachment(
                self.parts,
                optimizer,
                via=via,
                metric=metric,
                own_decay=own_decay,
                step=step,
                label=str(self.plan),
                start=self.steps_seen,
            )
        except BaseException:
            if before is not None and before.optimizer() is not None:
                self.attachment = before.again()
                self._go_on()
            raise
        self._go_on()
        return self

    def detach(self) -> None:
        """Deliver gathered pulls and stop acting; `value()` is differentiable again."""
        if self.attachment is not None:
            self.attachment.detach()
            left = self.attachment.state()
            self._left = {"gathered": left["gathered"], "waiting": left["waiting"]}
            self._history = [self.steps_seen, self.steps_acted]
            self.attachment = None

    def flush(self) -> None:
        """Deliver gathered pulls now; call it before a save or an evaluation in a loop of your own."""
        if self.attachment is not None:
            self.attachment.flush()

    @property
    def steps_seen(self) -> int:
        """Steps of the attached optimiser, skipped ones included."""
        return self._history[0] + (self.attachment.seen if self.attachment else 0)

    @property
    def steps_acted(self) -> int:
        """Steps in which a pull acted."""
        here = int(self.attachment.acted) if self.attachment else 0
        return self._history[1] + here

    @property
    def acted_on(self) -> str:
        """The sentence that says whether the penalty was on."""
        return f"the penalty acted on {self.steps_acted} of {self.steps_seen} steps"

    def log(self) -> dict[str, float]:
        """Scalars for a logger: the value, ‖δ‖ of all transferred parameters, ‖w‖ of the new, and steps acted."""
        with torch.no_grad():
            moved = {role: math.sqrt(float(self._square(role))) for role in ("transferred", "new")}
        return {
            "tether/value": float(self.value().detach()),
            "tether/displacement": moved["transferred"],
            "tether/new_norm": moved["new"],
            "tether/steps_acted": float(self.steps_acted),
        }

    def audit(
        self,
        optimizer: Any,
        batch: "Batch",
        *,
        loss: "Loss" = functional.cross_entropy,
        batchnorm: "BatchNorm" = "source",
        scaler: Any = None,
    ) -> "Audit":
        """Measure in real steps what of each pull arrives, and put everything back: see `tether.audit.audit`.

        Args:
            optimizer: the optimiser that trains, with the tether attached.
            batch: inputs and targets, or a function that returns the loss of one batch.
            loss: of the model's outputs and the targets.
            batchnorm: what the running statistics of the source's layers are meant to do.
            scaler: the `GradScaler` that the loop steps through, if it does.

        Raises:
            SettingsError: the batch, the loss or the policy is none.
            AttachError: the optimiser is none of torch's, or the parameters are sharded.
            Diverged: the gradient of the batch is not finite.

        """
        from tether.audit.audit import audit

        return audit(self, optimizer, batch, loss=loss, batchnorm=batchnorm, scaler=scaler)

    def state_dict(self) -> dict[str, Any]:
        """Counters, the place in the schedules, and what is gathered and not delivered yet.

        It changes nothing, so that weights and state may be saved in any order. Numbers and text, but for what a plan
        in the optimiser's metric has gathered, a tensor for each parameter, which a `flush` delivers whole.

        Raises:
            HooksLost: an optimiser was attached and is gone or has lost its hooks.

        """
        if self.attachment is not None:
            self.attachment.check()
        state = {"plan": str(self.plan), "seen": self.steps_seen, "acted": self.steps_acted}
        return {**self._left, **state, **(self.attachment.state() if self.attachment is not None else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: its counts, the place in the schedules, and what it had gathered.

        What was gathered goes to the optimiser that is attached, or to the next one.

        Raises:
            PlanError: the state is of another plan.

        """
        if state["plan"] != str(self.plan):
            raise PlanError(
                f"the saved state is of another plan: {state['plan']}",
                why=f"this one is: {self.plan}",
                fix="make the tether with the plan of the run that goes on, or start without its state",
            )
        self._history = [int(state["seen"]), int(state["acted"])]
        self._left = dict(state)
        if self.attachment is not None:
            self._go_on()

    def restore(self, anchor: Anchor) -> None:
        """Hold to the references of another anchor of this model, as when a run goes on in a new process.

        Raises:
            MatchError: it is of another model, or other parameters are new in it.

        """
        _refuse_foreign(anchor, self.parameters)
        if newness(anchor) != newness(self.anchor):
            raise MatchError(
                "the two anchors differ in what is new",
                why="a new parameter is pulled elsewhere than a transferred one",
                fix="make the tether as it was made for the run that goes on",
            )
        self.anchor, self.references = anchor, References(anchor)
        for part in self.parts:
            self._refer(part)

    def summary(self) -> str:
        """What is held to what, by how much, how far each part has moved, and on how many steps the penalty acted."""
        return summarise(self)

    __str__ = summary

    def _go_on(self) -> None:
        """Hand over what an earlier attachment, or a saved state, has left to deliver."""
        left, self._left = self._left, {}
        if left and self.attachment is not None:
            self.attachment.go_on_from({**left, "seen": self._history[0]})

    def _bind(self, parameter: nn.Parameter, name: str, role: Role, pull: Pull) -> Held:
        mask = self.anchor.new.get(name)
        rows = None if mask is None else torch.nonzero(mask if role == "new" else ~mask).flatten()
        part = Held(name, role, parameter, pull, None, rows)
        self._refer(part)
        return part

    def _refer(self, part: Held) -> None:
        found = self.references.find(part.pull, part.name, part.parameter, part.role)
        part.reference = None if found is None else part.of_rows(found)

    def _square(self, role: Role) -> Tensor:
        found = ((displacement(name, p, self.anchor, role), p) for name, p in self.parameters.items())
        return total((delta.norm().square(), p) for delta, p in found if delta is not None)


def _refuse_foreign(anchor: Anchor, named: Mapping[str, nn.Parameter]) -> None:
    known = anchor.references.keys() | anchor.new.keys()
    if strange := [*(known - named.keys()), *(named.keys() - known)]:
        raise MatchError(
            f"the anchor and the model differ in {len(strange)} parameters: {few(sorted(strange))}",
            why="an anchor has a source value, or says new, for each parameter of its model and for no other",
            fix="make the anchor from this model: tether.transfer(source, into=model) or Anchor.of(model, new=…)",
        )
    for name, reference in anchor.references.items():
        if reference.shape != named[name].shape:
            raise MatchError(
                f"`{name}` is {tuple(named[name].shape)} in the model and {tuple(reference.shape)} in the anchor",
                why="a parameter is held to a value of its own shape",
                fix="make the anchor from this model: tether.transfer(source, into=model) or Anchor.of(model, new=…)",
            )


def _refuse_lora(names: list[str]) -> None:
    factors = [name for name in names if any(part.startswith("lora_") for part in name.split("."))]
    if factors:
        raise PlanError(
            f"the plan holds {len(factors)} LoRA factors one by one: {few(factors)}",
            why="what moves is their product BA; a penalty on A and B is another one, and A's start is random",
            fix='overrides={"*lora_*": None}, or merge the adapter before the tether is made',
        )

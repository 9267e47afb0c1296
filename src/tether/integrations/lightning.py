"""TetherCallback for Lightning's Trainer."""

from typing import Any

import torch

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import AttachError, MatchError
from tether.guard import few
from tether.integrations.session import BatchNorm, Session
from tether.membership import OwnDecay
from tether.penalties.plan import Metric, Via

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback  # type: ignore[assignment]


class TetherCallback(Callback):
    """Holds a Trainer's model by a tether, in every optimiser step from the start of `fit` to its end.

    The anchor, the counts and what is gathered are in every checkpoint that the Trainer writes. A run that goes on from
    one is held to that anchor, also where the model given to it holds trained weights already.

    Args:
        leash: made of the LightningModule that is fitted, or of a module within it.
        batchnorm: `source` keeps the running statistics of the source's normalisation layers, `update` lets them move.
        via: the plan's own way when not given.
        metric: the plan's own when not given.
        own_decay: `replace` sets the optimiser's own weight decay to zero where it would act on held parameters.

    Raises:
        AttachError: when training starts: the tether and the optimiser do not fit, or several optimisers share what is
            held.
        MatchError: when it goes on: the checkpoint has no anchor, or one of another model.

    >>> from tether import Anchor, l2_sp
    >>> leash = Tether(module, Anchor.of(module, new="head.*"), l2_sp())  # doctest: +SKIP
    >>> Trainer(callbacks=[TetherCallback(leash)]).fit(module, loader)  # doctest: +SKIP

    """

    def __init__(
        self,
        leash: Tether,
        *,
        batchnorm: BatchNorm = "source",
        via: Via | None = None,
        metric: Metric | None = None,
        own_decay: OwnDecay = "refuse",
    ) -> None:
        self.leash = leash
        self._session = Session(leash, batchnorm=batchnorm, via=via, metric=metric, own_decay=own_decay)
        self._saved: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """What goes into a checkpoint: tensors, text and numbers only."""
        anchor = self.leash.anchor
        return {
            "leash": self.leash.state_dict(),
            "references": dict(anchor.references),
            "new": dict(anchor.new),
            "norms": list(anchor.norms),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep what a checkpoint holds until training starts."""
        self._saved = state_dict

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach to the optimiser, which the Trainer has made and whose state it has restored."""
        saved, self._saved = self._saved if trainer.ckpt_path else None, None  # validating a checkpoint leaves one too
        if saved is None and trainer.ckpt_path:
            raise MatchError(
                f"`{trainer.ckpt_path}` was written without a tether",
                why="what its weights were held to is not known",
                fix="go on without TetherCallback, or start again from the source",
            )
        if saved is not None:
            anchor = Anchor(saved["references"], saved["new"], tuple(saved["norms"]))
            if anchor.digest != self.leash.anchor.digest:
                self.leash.restore(anchor)
        self._session.begin(pl_module, self._optimizer(trainer))
        if saved is not None:
            self.leash.load_state_dict(saved["leash"])

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Deliver what is gathered before the weights are evaluated."""
        self.leash.flush()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Log the penalty's value and how far it has let the weights move, as often as the Trainer logs."""
        if trainer.global_step and trainer.global_step % trainer.log_every_n_steps == 0:
            pl_module.log_dict(self.leash.log())

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Detach."""
        self._session.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Detach."""
        self._session.end()

    def _optimizer(self, trainer: Any) -> torch.optim.Optimizer:
        held = {id(part.parameter) for part in self.leash.parts if part.parameter.requires_grad}
        found = [
            optimizer
            for optimizer in trainer.optimizers
            if not held.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"])
        ]
        if len(found) > 1:
            raise AttachError(
                f"the held parameters are spread over {len(found)} optimisers: "
                f"{few([type(optimizer).__name__ for optimizer in found])}",
                why="a tether acts in the steps of one",
                fix="a plan, and a tether, of what one optimiser trains; or one optimiser for all that is held",
            )
        chosen: torch.optim.Optimizer = (found or trainer.optimizers)[0]
        return chosen

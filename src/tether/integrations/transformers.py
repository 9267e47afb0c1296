"""TetherCallback for Transformers' Trainer."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import MatchError, RunExists, SettingsError
from tether.integrations.session import BatchNorm, Session
from tether.membership import OwnDecay
from tether.penalties.plan import Metric, Via

ANCHOR = "tether_anchor.safetensors"


class TetherCallback(TrainerCallback, ExportableState):
    """Holds a Trainer's model by a tether, in every optimiser step from the start of `train` to its end.

    The anchor is written into the output folder when training starts, and its SHA-256, the counts and what is gathered
    go with every checkpoint. A run that goes on from one is held to that anchor, also where the model given to it holds
    trained weights already.

    Args:
        leash: made of the model that the Trainer gets, or of a module within it.
        batchnorm: `source` keeps the running statistics of the source's normalisation layers, `update` lets them move.
        via: the plan's own way when not given.
        metric: the plan's own when not given.
        own_decay: `replace` sets the optimiser's own weight decay to zero where it would act on held parameters.

    Raises:
        AttachError: when training starts: the tether and the optimiser do not fit.
        MatchError: when it goes on: the checkpoint has no anchor, or another than can be found.
        RunExists: the output folder has checkpoints that are held to another anchor.

    >>> from tether import Anchor, l2_sp
    >>> leash = Tether(model, Anchor.of(model, new="classifier.*"), l2_sp())  # doctest: +SKIP
    >>> Trainer(model, arguments, callbacks=[TetherCallback(leash)]).train()  # doctest: +SKIP

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
        self._digest = ""

    def state(self) -> dict[str, Any]:
        """What goes into the `trainer_state.json` of a checkpoint; nothing before training has started."""
        if not self._digest:
            return {"args": {}, "attributes": {}}
        state = self.leash.state_dict()
        # a step for each value is delivered whole before a save, so that only numbers are left
        gathered = {key: total for key, total in state.get("gathered", {}).items() if isinstance(total, float)}
        return {"args": {}, "attributes": {"leash": state | {"gathered": gathered}, "anchor": self._digest}}

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Refuse what would build this callback anew without its tether."""
        if args.restore_callback_states_from_checkpoint:
            raise SettingsError(
                "`restore_callback_states_from_checkpoint` would build TetherCallback anew without its tether",
                why="it restores its own state in any case",
                fix="TrainingArguments(restore_callback_states_from_checkpoint=False)",
            )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach to the optimiser, which the Trainer has made and whose state it has restored."""
        place = Path(str(args.output_dir)) / ANCHOR
        kept: Any = state.stateful_callbacks
        saved = kept.get(type(self).__name__, {}).get("attributes") if state.global_step else None
        if state.global_step:
            self._restore(saved, place, f"checkpoint-{state.global_step}")
        self._digest = self.leash.anchor.digest
        if state.is_world_process_zero:
            self._keep(place, new_run=not state.global_step)
        self._session.begin(kwargs["model"], kwargs["optimizer"])
        if saved is not None:
            self.leash.load_state_dict(saved["leash"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Deliver what is gathered before the weights are evaluated or saved."""
        if control.should_evaluate or control.should_save or control.should_training_stop:
            self.leash.flush()

    on_epoch_end = on_step_end

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Put the penalty's value and how far the weights have moved beside the Trainer's own figures.

        They are in `state.log_history`, on the console and in callbacks that come after this one; those of `report_to`
        come before.
        """
        if logs is not None and self.leash.attachment is not None:
            found = self.leash.log()
            logs |= found
            state.log_history[-1] |= found

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Detach."""
        self._session.end()

    def _keep(self, place: Path, *, new_run: bool) -> None:
        if place.exists() and Anchor.load(place).digest == self._digest:
            return
        if new_run and place.exists() and any(place.parent.glob("checkpoint-*")):
            raise RunExists(
                f"`{place}` is what the checkpoints of an earlier run are held to, and this run's anchor is another",
                why="they could not be gone on from without it",
                fix="another output_dir, or remove the earlier run's checkpoints",
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        self.leash.anchor.save(place)

    def _restore(self, saved: Any, place: Path, checkpoint: str) -> None:
        if not isinstance(saved, dict) or not saved.get("anchor"):
            raise MatchError(
                f"`{checkpoint}`, from which this run in `{place.parent}` goes on, was written without a tether",
                why="what its weights were held to is not known",
                fix="go on without TetherCallback, or start again from the source",
            )
        if self.leash.anchor.digest == saved["anchor"]:
            return
        anchor = Anchor.load(place) if place.exists() else None
        if anchor is None or anchor.digest != saved["anchor"]:
            what = "is not there" if anchor is None else "is another anchor than the checkpoint was held to"
            raise MatchError(
                f"`{place}` {what}",
                why="this tether's anchor is not the checkpoint's, as where it was made of trained weights",
                fix="make the tether from the source again, or put the run's own anchor back",
            )
        self.leash.restore(anchor)

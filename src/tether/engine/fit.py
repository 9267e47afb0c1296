"""fit: from a spec to a finished run, and on from where one was cut."""

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tether.engine.build import Job, build
from tether.engine.checkpoints import Checkpoints
from tether.engine.keep import Keeper
from tether.engine.loop import train
from tether.engine.optimise import make_optimizer
from tether.engine.parallel import Ranks, is_lost, joined, refuse_unequal
from tether.engine.probe import probe
from tether.engine.training import Training, refuse_other_spec
from tether.engine.update import refuse_to_part
from tether.engine.watch import Watch
from tether.engine.yardsticks import Yardsticks
from tether.errors import InputError, MachineError, RunExists
from tether.files import MANIFEST, exists, is_empty_folder, verify_manifest, write_refusal
from tether.interruption import Interruption
from tether.lock import locked
from tether.memory import is_out_of_memory
from tether.models.trust import require_trusted
from tether.record import ENVIRONMENT, SPEC, RunRecord
from tether.spec import RunSpec


def fit(spec: RunSpec, out: Path | str | None = None, *, quiet: bool | None = None) -> RunRecord:
    """Fine-tune as `spec` says, and leave a run folder; go on where a run of the same spec was cut.

    Nothing is chosen on the test pictures: they are measured once, by the model and by the probe if there is one. The
    epoch is chosen on validation, and is the last one without. Under `torchrun` the processes share each batch.

    Args:
        spec: settings; what they leave open is settled once and written down.
        out: the run folder; `runs/` and the time when not given.
        quiet: no progress bar; when not given, none where stderr is no terminal.

    Raises:
        InputError: data, source, network, plan or settings are wrong; nothing is written.
        RunExists: `out` is there already, and is no run of this spec that was cut.
        RunLocked: another process is at it.
        Diverged: a loss or a gradient is not finite; the update is not made.
        MachineError: the disk or the memory failed; the last checkpoint is intact.
        Interrupted: a signal asked to stop; the state is saved.
    """
    with joined() as ranks, Interruption(shared=ranks.count > 1) as interruption, ExitStack() as held:
        run = _Run(ranks, interruption, held, quiet)
        folder = _own_place(ranks.told(Path(out) if out is not None else _named_by_time()))
        if ranks.told(os.path.lexists(folder) and not is_empty_folder(folder)):
            return run.again(spec, folder)
        return run.start(spec, folder)


def resume(folder: Path | str, *, trust_code: bool = False, quiet: bool | None = None) -> RunRecord:
    """Go on with a run that was cut, to the same bits as if it had not been; a run that has ended is only read.

    Args:
        trust_code: let the network that its spec names by `package.module:Callable` be imported.

    Raises:
        DataError: the folder is no run.
        CheckpointError: it has no checkpoint that is whole, or data, source or spec were changed since.
        RunLocked, Diverged, MachineError, Interrupted: see `fit`.
    """
    folder = _own_place(Path(folder))
    record = _begun(folder)
    require_trusted(record.spec.model, f"`{folder / SPEC}`", trust_code=trust_code)
    with joined() as ranks, Interruption(shared=ranks.count > 1) as interruption, ExitStack() as held:
        return _Run(ranks, interruption, held, quiet).go_on(record, folder)


class _Run:
    """One run in these processes."""

    def __init__(self, ranks: Ranks, interruption: Interruption, held: ExitStack, quiet: bool | None) -> None:
        self.ranks, self.interruption, self.held, self.quiet = ranks, interruption, held, quiet
        held.callback(torch.set_num_threads, torch.get_num_threads())

    def start(self, spec: RunSpec, folder: Path) -> RunRecord:
        """Make a run folder and train into it."""
        started = time.monotonic()
        random.seed(spec.seed + self.ranks.rank)  # for networks that draw from these; torch's is seeded by `build`
        np.random.seed((spec.seed + self.ranks.rank) % 2**32)
        training, yardsticks = self._make(build(spec))
        probed = training.job.probed or (training.job.spec.probe and probe(training.job.model, training.job.task))
        training.probed = self.ranks.told(probed or None)
        if self.ranks.rank:
            torch.manual_seed(training.job.spec.seed + self.ranks.rank)
        keeper = Keeper(folder, training)
        self.interruption.defer()
        keeper.open(self.ranks)
        self._hold(folder)
        return self._train(keeper, yardsticks, started)

    def again(self, spec: RunSpec, folder: Path) -> RunRecord:
        """Go on with the run in a folder if it was cut and is of this spec."""
        if not (folder / SPEC).is_file() or (folder / MANIFEST).exists():
            raise exists(folder)
        self._hold(folder)
        if (folder / MANIFEST).exists():
            raise exists(folder)
        record = _begun(folder)
        settled = record.spec.model_dump()
        open_here = {key: settled[key] for key in ("threads", "device") if getattr(spec, key) is None}
        now = build(spec.model_copy(update=open_here), started=False).spec.model_dump()
        if other := _differing(settled, now):
            key, there, here = other[0]
            raise RunExists(
                f"`{folder}` is a run of other settings: `{key}` is {there!r} there, and {here!r} here",
                why="a run is never overwritten, and goes on only as it began",
                fix=f"tether fit --resume {folder}, or a new --out",
            )
        return self._go_on(record, folder)

    def go_on(self, record: RunRecord, folder: Path) -> RunRecord:
        """Go on with a run as its own spec says."""
        if not (folder / MANIFEST).exists():
            self._hold(folder)
        if (folder / MANIFEST).exists():  # it may have ended while this process waited to hold it
            verify_manifest(folder)
            return RunRecord.read(folder)
        return self._go_on(record, folder)

    def _hold(self, folder: Path) -> None:
        try:
            self.ranks.once(lambda: self.held.enter_context(locked(folder)))
        except MachineError as error:
            error.fix = f"make the disk writable, then tether fit --resume {folder}"
            raise

    def _go_on(self, record: RunRecord, folder: Path) -> RunRecord:
        started = time.monotonic()
        checkpoints = Checkpoints(folder, record.spec.checkpoint.keep)
        self.ranks.once(checkpoints.clear)
        saved = checkpoints.newest()
        refuse_other_spec(saved.state, record.spec)
        training, yardsticks = self._make(_built_again(record))
        training.restore(saved.weights, saved.state)
        training.resumed_at.append(training.step)
        keeper = Keeper(folder, training, checkpoints)
        self.interruption.defer()
        with keeper.noting_failure(self.ranks):
            self.ranks.once(lambda: keeper.reopen(record.environment))
        return self._train(keeper, yardsticks, started)

    def _make(self, job: Job) -> tuple[Training, Yardsticks]:
        """All that trains, with the tether attached, so that what it refuses is refused before anything is written."""
        torch.set_num_threads(job.spec.threads or 1)
        refuse_unequal(job.spec, len(job.task.split.train), self.ranks)
        if job.spec.train.auto_batch:
            refuse_to_part(job)
        yardsticks = Yardsticks(job)
        training = Training(job, make_optimizer(job.spec.optimizer, job.model), self.ranks)
        yardsticks.enter(training)
        return training, yardsticks

    def _train(self, keeper: Keeper, yardsticks: Yardsticks, started: float) -> RunRecord:
        training = keeper.training
        watch = Watch(training, keeper.checkpoints, self.interruption, started=started - training.seconds)
        with keeper.noting_failure(self.ranks), _machine(training):
            train(training, keeper.log if self.ranks.first else _unlogged, watch=watch, quiet=self.quiet)
            watch.end()
            training.best.put_into(training.job.model)
            found, answers = yardsticks.outcome(training, watch)
            outcome = found | {"seconds": round(watch.seconds, 2)}
            watch.pause()
            self.ranks.once(lambda: keeper.close(outcome, answers))
        if self.ranks.first:
            keeper.link()
        return RunRecord.read(keeper.folder)


def _built_again(record: RunRecord) -> Job:
    """The job of a run that goes on; what is not found is looked for from where the run was started.

    Raises:
        InputError: data, source or network are not as they were.
    """
    started = record.environment.get("started_in")
    try:
        return build(record.spec, started=False)
    except InputError as error:
        if started and Path(started) != Path.cwd():
            whence = f"relative paths of its spec are from `{started}`, where it was started"
            error.why = f"{error.why}; {whence}" if error.why else whence
        raise


@contextmanager
def _machine(training: Training) -> Iterator[None]:
    """Say so where memory runs out, with what makes it enough, or where another process is gone."""
    try:
        yield
    except Exception as error:
        if is_lost(error):
            raise MachineError(
                f"another process of this run is gone, at step {training.step + 1}",
                why="it has closed its connection: it has failed, or was killed",
                fix="see what it said",
            ) from error
        if not is_out_of_memory(error):
            raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        half = max(1, (training.micro or training.job.spec.train.batch_size) // 2)
        raise MachineError(
            f"out of memory at step {training.step + 1}: {said}",
            why="the network and one batch do not fit",
            fix=f"start anew with --batch-size {half} or --auto-batch; or free memory, then go on",
        ) from error


def _differing(there: Mapping[str, Any], here: Mapping[str, Any], at: str = "") -> list[tuple[str, Any, Any]]:
    """The keys of two trees of settings that have other values, with both."""
    found = []
    for key in sorted(there.keys() | here.keys()):
        one, other = there.get(key), here.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += _differing(one, other, f"{at}{key}.")
        elif one != other:
            found.append((f"{at}{key}", one, other))
    return found


def _begun(folder: Path) -> RunRecord:
    """The record of a run; of one that has not ended the spec and where it ran, since the rest is written again.

    Raises:
        DataError: the folder is no run.
    """
    if (folder / MANIFEST).exists() or not (folder / SPEC).is_file():
        return RunRecord.read(folder)
    try:
        environment = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        environment = {}
    return RunRecord(
        RunSpec.from_toml(folder / SPEC), environment if isinstance(environment, dict) else {}, folder=folder
    )


def _own_place(folder: Path) -> Path:
    """The folder by a name of its own: `.`, `..` and a link are names of another."""
    try:
        elsewhere = folder.name in ("", "..") or (folder.is_symlink() and folder.is_dir())
    except OSError as error:
        raise write_refusal(error, folder) from None
    return folder.resolve() if elsewhere else folder


def _named_by_time() -> Path:
    return Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S-%f")


def _unlogged(row: Mapping[str, Any]) -> None:
    """Only the first process writes."""

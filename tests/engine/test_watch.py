"""Between two steps: a save where it is due, and a stop where a signal asks for one."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether import RunSpec, fit
from tether.engine import watch as watching
from tether.engine.build import build
from tether.engine.checkpoints import Checkpoints
from tether.engine.optimise import make_optimizer
from tether.engine.training import Training
from tether.engine.watch import Watch, over
from tether.errors import Interrupted
from tether.interruption import Interruption

Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def watch(settings: Settings, tmp_path: Path) -> Watch:
    job = build(RunSpec.from_flags(settings()))
    training = Training(job, make_optimizer(job.spec.optimizer, job.model))
    return Watch(training, Checkpoints(tmp_path), Interruption(), started=time.monotonic())


def steps(watch: Watch) -> list[str]:
    return sorted(path.name for path in watch.checkpoints.folder.glob("*"))


def test_saves_come_every_so_many_steps(settings: Settings, tmp_path: Path) -> None:
    spec = RunSpec.from_flags(settings({"checkpoint.every": 2, "checkpoint.keep": 99}))
    fit(spec, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == [
        *(f"{step:06}" for step in (0, 2, 4, 6, 8, 9)),
    ]


def test_saves_come_by_the_clock_and_cost_a_share_of_the_time(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    watch.last = now[0]
    for passed, saved in ((29.0, []), (1.5, ["000001"]), (29.0, ["000001"])):
        now[0] += passed
        watch.training.step += 1 if saved == ["000001"] and not steps(watch) else 0
        watch.pause()
        assert steps(watch) == saved
    watch.cost, watch.training.step = 10.0, 7  # a save that took 10 s is not made again for 200 s
    now[0] += 100
    watch.pause()
    assert steps(watch) == ["000001"]
    now[0] += 100
    watch.pause()
    assert steps(watch) == ["000001", "000007"]


def test_a_signal_is_obeyed_after_a_save(watch: Watch) -> None:
    watch.training.step = 3
    watch.interruption.asked = signal.SIGTERM
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM at step 3 of 9; its state is saved") as stopped:
        watch.pause()
    assert steps(watch) == ["000003"]
    assert stopped.value.exit_code == 143


def test_after_the_end_a_signal_stops_without_another_save(watch: Watch) -> None:
    watch.training.epoch, watch.training.step = 3, 9
    watch.end()
    assert steps(watch) == ["000009"]
    watch.interruption.asked = signal.SIGINT
    with pytest.raises(Interrupted):
        list(over([1, 2], watch))
    assert steps(watch) == ["000009"]


def test_a_state_is_saved_once(watch: Watch) -> None:
    watch.training.step = 3
    for _ in range(2):
        watch.save()
    assert steps(watch) == ["000003"]
    watch.training.epoch = 1  # the end of an epoch changes the state, and not the step
    watch.save()
    assert steps(watch) == ["000003", "000003-1"]


def test_an_evaluation_goes_on_where_nobody_asks(watch: Watch) -> None:
    assert list(over([1, 2], watch)) == [1, 2]
    assert steps(watch) == []

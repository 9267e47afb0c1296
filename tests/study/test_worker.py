"""A worker answers every task, whatever goes wrong in it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.here import through_json
from tether import RunSpec
from tether.engine.trained import Trained
from tether.errors import Interrupted
from tether.lock import locked
from tether.record import RunRecord
from tether.study.place import Place
from tether.study.worker import answered

Spec = Callable[..., RunSpec]

NOISY = """
import os
import torch

print("imported")

class Net(torch.nn.Module):
    def __init__(self, num_classes=3, in_chans=1):
        super().__init__()
        self.head = torch.nn.Linear(144 * in_chans, num_classes)

    def forward(self, pictures):
        print('{"error": "not an answer"}', flush=True)
        os.write(1, b"{}\\n")
        return self.head(pictures.flatten(1))
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path / "study")
    found.make()
    return found


def check(spec: RunSpec, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"do": "check", "spec": spec.model_dump(exclude_none=True), "like": like}


def make(spec: RunSpec, place: Place, name: str = "run") -> dict[str, Any]:
    return {
        "do": "fit",
        "spec": spec.model_dump(exclude_none=True),
        "out": str(place.run(name)),
        "claims": str(place.claims),
        "shared": str(place.shared),
    }


def sent(task: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as it is after its way through JSON, and so is the task."""
    found: dict[str, Any] = through_json(answered(through_json(task)))
    return found


def test_a_check_settles_what_the_runs_share_and_writes_nothing(small: Spec, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = sent(check(small()))
    assert found.keys() >= {"settled", "seconds"}
    assert found["settled"].keys() == {"preprocessing", "threads", "device"}
    assert found["settled"]["preprocessing"]["size"] == 12
    assert 0 < found["seconds"] < 60
    assert sorted(tmp_path.rglob("*")) == before


def test_a_check_says_how_long_a_run_takes_with_what_stands_before_its_steps(
    small: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter((3.0, 5.0))
    monkeypatch.setattr("tether.engine.estimate.estimate", lambda job: 100.0 + len(job.task.split.validation))
    monkeypatch.setattr("tether.study.worker.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    found = sent(check(small()))
    assert (found["seconds"], found["validated"]) == (108.0, 6)


def test_from_scratch_pictures_are_prepared_as_from_the_source(small: Spec, source_run: Path) -> None:
    """Even where the source would not fit, or less of it would go over than is asked for."""
    tuned = small()
    scratch = RunSpec.parse(tuned.model_dump(exclude_none=True, exclude={"source"}) | {"seed": 1})
    like = {"path": str(source_run)}
    wider = scratch.replace({"model.name": "cifar-resnet20"})
    own = sent(check(scratch))["settled"]["preprocessing"]
    theirs = sent(check(tuned))["settled"]["preprocessing"]
    assert own != theirs
    assert sent(check(scratch, like))["settled"]["preprocessing"] == theirs
    assert sent(check(wider, like))["settled"]["preprocessing"] == theirs


def test_a_run_is_made_once_and_without_what_only_a_resume_needs(small: Spec, place: Place) -> None:
    first = sent(make(small(), place))
    assert (first["done"], first["fresh"]) == (True, True)
    record = RunRecord.read(place.run("run"))
    assert record.outcome["status"] == "done"
    assert first["validation"] == record.outcome["validation"]["accuracy"]
    assert not (place.run("run") / "checkpoints").exists()
    Trained.load(place.run("run"))
    before = {one: one.stat().st_mtime_ns for one in place.run("run").iterdir()}
    second = sent(make(small(), place))
    assert (second["done"], second["fresh"], second["validation"]) == (True, False, first["validation"])
    assert {one: one.stat().st_mtime_ns for one in place.run("run").iterdir()} == before


def test_without_validation_there_is_no_accuracy_to_tell(small: Spec, place: Place) -> None:
    assert sent(make(small({"data.validation": 0.0}), place))["validation"] is None


@pytest.mark.parametrize("where", ["claims", "run"])
def test_a_run_that_another_process_makes_is_held(small: Spec, place: Place, where: str) -> None:
    place.run("run").mkdir()
    (place.run("run") / "spec.toml").write_text("")
    with locked(place.claims, "run.lock") if where == "claims" else locked(place.run("run")):
        found = sent(make(small(), place))
    assert found.keys() == {"held"}
    assert "is held by a run that has not ended" in found["held"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"data.path": "nowhere"}, "nowhere"),
        ({"source.path": "nowhere"}, "nowhere"),
        ({"model.name": "digits-ccn"}, "digits-ccn"),
        ({"plan.transferred": "L3(1)", "plan.preset": None}, "L3"),
    ],
)
def test_what_is_refused_is_told_in_its_three_lines(
    small: Spec, place: Place, changes: dict[str, Any], error: str
) -> None:
    spec = small({key: value for key, value in changes.items() if value is not None})
    for task in (check(spec), make(spec, place)):
        found = sent(task)
        assert found.keys() == {"error", "why", "fix", "kind", "exit_code"}
        assert error in found["error"]
        assert found["exit_code"] == 2
        assert found["fix"]
    assert not place.run("run").exists()


def test_settings_that_do_not_hold_are_told(place: Place, small: Spec) -> None:
    task = make(small(), place)
    task["spec"]["train"]["epochs"] = -1
    found = sent(task)
    assert (found["kind"], found["exit_code"]) == ("SettingsError", 2)
    assert "epochs" in found["error"]


def test_a_run_that_diverges_is_told_and_keeps_its_folder(small: Spec, place: Place) -> None:
    spec = small({"optimizer.lr": 1e30, "plan.preset": "none"})
    found = sent(make(spec, place))
    assert (found["kind"], found["exit_code"]) == ("Diverged", 4)
    assert json.loads((place.run("run") / "outcome.json").read_text())["status"] == "diverged"
    again = sent(make(spec, place))
    assert (again["kind"], again["exit_code"]) == ("Diverged", 4)


def test_a_check_leaves_it_to_the_run_to_diverge(small: Spec) -> None:
    assert "settled" in sent(check(small({"optimizer.lr": 1e30, "plan.preset": "none"})))


def test_another_runs_folder_is_no_place_for_a_run(small: Spec, place: Place) -> None:
    sent(make(small({"optimizer.lr": 1e30, "plan.preset": "none"}), place))
    found = sent(make(small(), place))
    assert (found["kind"], found["exit_code"]) == ("RunExists", 2)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Interrupted(signal.SIGTERM, "stopped"), {"interrupted": signal.SIGTERM}),
        (KeyboardInterrupt(), {"interrupted": signal.SIGINT}),
    ],
    ids=["tether", "python"],
)
def test_an_interruption_is_told(
    small: Spec, place: Place, monkeypatch: pytest.MonkeyPatch, error: BaseException, answer: dict[str, Any]
) -> None:
    monkeypatch.setattr("tether.engine.fit.fit", raising(error))
    assert sent(make(small(), place)) == answer
    with locked(place.claims, "run.lock"):
        """It is held no longer."""


def test_a_bug_costs_one_run_and_is_told_in_one_line(
    small: Spec, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether.engine.fit.fit", raising(RuntimeError("two\nlines\x1b[2J")))
    found = sent(make(small(), place))
    assert found["error"] == r"RuntimeError: two\nlines\x1b[2J"
    assert (found["kind"], found["exit_code"]) == ("bug", 1)
    assert "raising" in found["why"], "the traceback"


def raising(error: BaseException) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising


def test_a_process_answers_each_task_with_a_line_and_nothing_else(small: Spec, place: Place, tmp_path: Path) -> None:
    """A network of one's own prints to the standard output, in Python and below it; and SIGTERM stops a run."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "noisy.py").write_text(NOISY)
    scratch = RunSpec.parse(small().model_dump(exclude_none=True, exclude={"source"}))
    noisy = scratch.replace({"model.name": "noisy:Net", "train.epochs": 1})
    endless = scratch.replace({"train.epochs": 100_000})
    process = subprocess.Popen(
        [sys.executable, "-m", "tether.study.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])},
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None

    def ask(task: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()

    try:
        for task in (check(noisy), make(noisy, place, "noisy"), {"do": "fit", "spec": {}}):
            ask(task)
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert lines[0].keys() >= {"settled", "seconds"}
        assert lines[1]["done"]
        assert "model" in lines[2]["error"]
        ask(make(endless, place, "endless"))
        while not (place.run("endless") / "metrics.jsonl").exists():
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        rest, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert json.loads(rest) == {"interrupted": signal.SIGTERM}
    assert process.returncode == 0
    assert "imported\n" in said
    assert '{"error": "not an answer"}' in said
    assert json.loads((place.run("endless") / "outcome.json").read_text())["status"] == "interrupted"
    assert any((place.run("endless") / "checkpoints").iterdir())

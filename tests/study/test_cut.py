"""A study that is cut, by a signal or by the end of a process, and goes on as if it had not been."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faults.kills import fork
from study.here import Here, Log, done_in, made_here, run_here, runs_in, same, through_json
from tether import RunSpec
from tether.errors import Interrupted
from tether.study.crew import Answer, Task
from tether.study.place import Place
from tether.study.runner import Run
from tether.study.study import Study
from tether.study.worker import answered

Spec = Callable[..., RunSpec]
TESTS = Path(__file__).parents[1]
LONG = 80  # epochs, about two seconds


def cut_by(small: Spec) -> Study:
    return Study(small({"train.epochs": LONG}), {"plan": ["none", "l2_sp"]}, seeds=(0,), baselines=False)


@pytest.fixture(scope="session")
def uncut(small: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study that is cut below, by nobody cut."""
    return run_here(cut_by(small), tmp_path_factory.mktemp("uncut") / "study")


def in_a_process(study: Study, folder: Path, jobs: int) -> subprocess.Popen[str]:
    """The same study by a process of its own, with its workers."""
    study.write(Place(folder), {})
    code = (
        "import sys; from pathlib import Path\n"
        "from tether.study.place import Place; from tether.study.study import Study\n"
        "folder = Path(sys.argv[1])\n"
        "try:\n    Study.read(Place(folder)).run(folder, jobs=int(sys.argv[2]))\n"
        "except BaseException as error:\n    print(error); sys.exit(getattr(error, 'exit_code', 1))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, folder, str(jobs)], stdout=subprocess.PIPE, text=True)


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not happened() and process.poll() is None:
        try:
            process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            continue


@pytest.mark.story
def test_sigterm_saves_every_run_and_the_same_call_ends_as_if_it_had_not_come(
    small: Spec, tmp_path: Path, uncut: Path, here: Log
) -> None:
    study, folder = cut_by(small), tmp_path / "study"
    process = in_a_process(study, folder, jobs=2)
    try:
        wait_until(lambda: len([*folder.glob("runs/*/metrics.jsonl")]) == 2, process)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "the study is stopped, with 2 of 2 runs left\n" in said
    assert [json.loads((run / "outcome.json").read_text())["status"] for run in runs_in(folder)] == ["interrupted"] * 2
    assert done_in(folder) == []
    assert not [*folder.glob("runs/*.failed.json")]
    study.run(folder)
    assert sorted(here) == [(run.name, "fresh") for run in runs_in(uncut)]
    outcomes = [json.loads((run / "outcome.json").read_text()) for run in done_in(folder)]
    assert all(outcome["resumed_at_steps"] for outcome in outcomes)
    assert [same(run, uncut / "runs" / run.name) for run in done_in(folder)] == [[], []]


def test_two_studies_at_once_make_each_run_once(small: Spec, tmp_path: Path, uncut: Path, here: Log) -> None:
    """Both begin at the same moment, in processes that have all loaded."""
    study, folder = cut_by(small), tmp_path / "study"
    ready, go = os.pipe()

    def one_of_them(log: Path) -> None:
        os.close(go)
        os.read(ready, 1)  # until this process has let go of the pipe
        study.run(folder)
        log.write_text("".join(f"{name} {what}\n" for name, what in here))

    children = [fork(partial(one_of_them, tmp_path / str(number))) for number in range(2)]
    os.close(ready)
    os.close(go)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    logs = [tuple(line.split()) for number in range(2) for line in (tmp_path / str(number)).read_text().splitlines()]
    assert sorted(name for name, what in logs if what == "fresh") == [run.name for run in runs_in(uncut)]
    assert {what for _, what in logs} <= {"fresh", "held", "done"}
    assert len(logs) == 4
    assert [same(run, uncut / "runs" / run.name) for run in done_in(folder)] == [[], []]


@pytest.mark.story
def test_a_process_that_is_killed_costs_one_run_which_the_next_call_makes(
    settings: Callable[..., Mapping[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died, folder = tmp_path / "died", tmp_path / "study"
    monkeypatch.setenv("TETHER_TEST_DIED", str(died))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    spec = RunSpec.from_flags(settings({"model.name": "study.dying:Net", "train.epochs": 20, "data.per_class": 5}))
    study, told = Study(spec, seeds=(0, 1), baselines=False), list[str]()
    found = study.run(folder, jobs=1, told=told.append)
    assert died.exists()
    assert [run.status for run in found.groups[0].candidates[0].runs] == ["failed", "done"]
    ((_, seed, error),) = found.failed
    assert (seed, error) == (0, "its process ended by SIGKILL, as where memory runs out")
    assert f"failed: {error}" in told[0]
    log = made_here(monkeypatch)
    again = study.run(folder)
    assert [(what, name.rpartition("-")[2]) for name, what in log] == [("fresh", "0")]
    assert not again.failed
    assert not [*folder.glob("runs/*.failed.json")]
    study.run(tmp_path / "uncut")
    assert [same(run, tmp_path / "uncut" / "runs" / run.name) for run in done_in(folder)] == [[], []]


def test_an_interruption_says_what_is_left(
    small: Spec, tmp_path: Path, here: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(crew: Here, tasks: Iterator[tuple[Run, Task]]) -> Iterator[tuple[Run, Answer]]:
        for run, task in tasks:
            if task["do"] == "fit" and run[1] == 1:
                raise Interrupted(signal.SIGINT, "the study is stopped")
            yield run, through_json(answered(through_json(task)))

    monkeypatch.setattr(Here, "answers", stop)
    study = Study(small({"train.epochs": 1}), {"plan": ["none", "l2"]}, seeds=(0, 1), baselines=False)
    with pytest.raises(Interrupted) as stopped:
        study.run(tmp_path / "study")
    assert stopped.value.exit_code == 130
    assert stopped.value.what == "the study is stopped, with 2 of 4 runs left"
    assert stopped.value.fix == "give the same command again"

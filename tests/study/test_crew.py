"""The crew over stand-ins for its workers, which start at once and misbehave as they are told."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tether.errors import Interrupted
from tether.study import crew
from tether.study.crew import Answer, Crew

STAND_IN = """
import json, os, select, signal, sys

heard = []

def stopped(number, frame):
    with open(f"{sys.argv[1]}/{os.getpid()}", "a") as signals:
        signals.write("x")
    sys.stdout.write(json.dumps({"interrupted": number, "pid": os.getpid()}) + "\\n")
    sys.stdout.flush()
    heard.append(number)

def wait():
    while not heard:
        select.select([], [], [], 0.05)

signal.signal(signal.SIGTERM, stopped)
for line in sys.stdin:
    task = json.loads(line)
    said, says = {"pid": os.getpid(), "task": task}, task["do"]
    if says == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if says == "exit":
        sys.stderr.write("first\\nit has no\\tplace\\n")
        sys.stderr.flush()
        os._exit(1)
    if says == "cut":
        sys.stdout.write('{"pid": 3, "do')
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if says == "garbage":
        sys.stdout.write(task["text"] + "\\n")
        sys.stdout.flush()
        signal.pause()
    if says == "wait":
        open(task["fifo"], "w").close()
        wait()
        continue
    if says == "stop":
        open(task["fifo"]).close()  # until the other waits
        os.kill(os.getppid(), signal.SIGTERM)
        wait()
        continue
    if says == "interrupt":
        stopped(15, None)
        continue
    sys.stdout.write(json.dumps(said) + "\\n")
    sys.stdout.flush()
    if says == "leave":
        os._exit(0)
"""
Tasks = Iterator[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which each stand-in notes the signals that it hears."""
    script, signals = tmp_path / "stand_in.py", tmp_path / "signals"
    script.write_text(STAND_IN)
    signals.mkdir()
    monkeypatch.setattr(crew, "WORKER", (sys.executable, "-S", "-E", str(script), str(signals)))
    return signals


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = descriptors()
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert descriptors() == before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


def descriptors() -> set[str]:
    """Those open in this process, without that of the listing."""
    return {one.name for one in Path("/proc/self/fd").iterdir()}


def given(*does: str | dict[str, Any]) -> Tasks:
    for number, do in enumerate(does):
        yield str(number), {"do": do} if isinstance(do, str) else do


def answered(*does: str | dict[str, Any], jobs: int = 1) -> list[tuple[str, Answer]]:
    with Crew[str](jobs) as found:
        answers = list(found.answers(given(*does)))
    assert not any(is_there(answer["pid"]) for _, answer in answers if "pid" in answer)
    return answers


def is_there(pid: int) -> bool:
    """Also a zombie has an entry."""
    return Path(f"/proc/{pid}").exists()


def test_one_process_does_all_tasks_in_their_order() -> None:
    answers = answered("one", "two", "three")
    assert [(name, answer["task"]["do"]) for name, answer in answers] == [("0", "one"), ("1", "two"), ("2", "three")]
    assert len({answer["pid"] for _, answer in answers}) == 1


def test_as_many_processes_as_jobs_and_no_more_than_tasks() -> None:
    assert len({answer["pid"] for _, answer in answered("a", "b", "c", "d", "e", jobs=2)}) == 2
    assert len({answer["pid"] for _, answer in answered("a", jobs=3)}) == 1


def test_a_task_is_drawn_only_when_a_process_is_free() -> None:
    drawn = []

    def tasks() -> Tasks:
        for number in range(6):
            drawn.append(number)
            yield str(number), {"do": "it"}

    with Crew[str](2) as found:
        for ended, _ in enumerate(found.answers(tasks()), start=1):
            assert len(drawn) <= ended + 1  # one of the two under way has ended
    assert drawn == list(range(6))


def test_processes_go_on_from_one_list_of_tasks_to_the_next() -> None:
    with Crew[str](1) as found:
        first, second = (list(found.answers(given("it"))) for _ in range(2))
    assert first[0][1]["pid"] == second[0][1]["pid"]


@pytest.mark.parametrize(
    ("do", "error", "why", "code"),
    [
        ("kill", "its process ended by SIGKILL, as where memory runs out", "it printed nothing", 3),
        ("cut", "its process ended by SIGKILL, as where memory runs out", "it printed nothing", 3),
        ("exit", "its process ended by exit code 1", "the last that it printed: it has no\tplace", 1),
    ],
)
def test_a_process_that_dies_costs_the_task_that_it_had(do: str, error: str, why: str, code: int) -> None:
    answers = answered("before", do, "after", "last")
    assert [name for name, _ in answers] == ["0", "1", "2", "3"]
    assert answers[1][1].items() >= {"error": error, "why": why, "kind": "died", "exit_code": code}.items()
    assert answers[0][1]["pid"] != answers[2][1]["pid"] == answers[3][1]["pid"]


@pytest.mark.parametrize("text", ["loss 0.3", "3", '["error"]', "{" * 100_000], ids=lambda text: text[:9])
def test_what_is_no_answer_costs_the_task_and_the_process(text: str) -> None:
    answers = answered({"do": "garbage", "text": text}, "after")
    assert answers[0][1]["error"] == "its process said what is no answer"
    assert answers[1][1]["task"] == {"do": "after"}
    assert len(answers[0][1]["why"]) < 400


def test_a_process_that_dies_while_it_waits_costs_nothing() -> None:
    with Crew[str](1) as found:
        (_, left), *_ = found.answers(given("leave"))
        os.waitid(os.P_PID, left["pid"], os.WEXITED | os.WNOWAIT)
        (_, answer), *_ = found.answers(given("it"))
    assert answer["task"] == {"do": "it"}
    assert answer["pid"] != left["pid"]


def test_a_process_that_was_stopped_gets_no_other_task() -> None:
    answers = answered("interrupt", "it")
    assert answers[0][1]["interrupted"] == signal.SIGTERM
    assert answers[1][1]["task"] == {"do": "it"}


def test_a_process_that_a_signal_ended_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    kill = "import os; input(); os.kill(os.getpid(), 15)"
    monkeypatch.setattr(crew, "WORKER", (sys.executable, "-S", "-c", kill))
    assert answered("it") == [("0", {"interrupted": signal.SIGTERM})]


def test_a_signal_is_passed_on_once_and_every_answer_is_awaited(tmp_path: Path, stand_in: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    tasks = given({"do": "wait", "fifo": fifo}, {"do": "stop", "fifo": fifo}, "never")
    answers: list[tuple[str, Answer]] = []
    with pytest.raises(Interrupted, match="the study is stopped") as stopped, Crew[str](2) as found:
        answers.extend(found.answers(tasks))
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    # `extend` keeps what was yielded before the error
    assert sorted(name for name, _ in answers) == ["0", "1"]
    assert all(answer["interrupted"] == signal.SIGTERM for _, answer in answers)
    assert sorted(one.name for one in stand_in.iterdir()) == sorted(str(answer["pid"]) for _, answer in answers)
    assert {one.read_text() for one in stand_in.iterdir()} == {"x"}
    assert not any(is_there(answer["pid"]) for _, answer in answers)


def test_an_error_of_the_caller_ends_the_processes_that_are_at_work(tmp_path: Path, stand_in: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    with pytest.raises(ZeroDivisionError), Crew[str](2) as found:
        for _ in found.answers(given({"do": "wait", "fifo": fifo}, "it")):
            Path(fifo).open().close()
            raise ZeroDivisionError
    waited = [one for one in stand_in.iterdir() if one.read_text() == "x"]
    assert waited
    assert not any(is_there(int(one.name)) for one in stand_in.iterdir())


def test_each_process_has_one_thread_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = "import json, os; input(); print(json.dumps({name: os.environ.get(name) for name in os.environ}))"
    monkeypatch.setattr(crew, "WORKER", (sys.executable, "-S", "-c", tell))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    found = answered("it")[0][1]
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("1", "3")
    assert json.dumps(found)

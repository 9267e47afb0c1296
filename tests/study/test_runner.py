"""The runner over a crew that trains nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from study.runs import base
from tether.errors import Interrupted, TetherError
from tether.spec import RunSpec
from tether.study.configuration import Configuration
from tether.study.crew import Answer, Task
from tether.study.grid import Grid, grid
from tether.study.place import Place
from tether.study.runner import Run, Runner

SEEDS = (0, 1)
PREPARED = {"size": 28, "channels": 1, "mean": (0.1,), "std": (0.3,)}
SETTLED = {
    "settled": {"preprocessing": PREPARED, "threads": 1, "device": "cpu"},
    "seconds": 2.0,
    "validation": 4,
    "validated": 4,
}
DONE = {"done": True, "fresh": True, "validation": 0.5, "seconds": 3.0}
WRONG = {"error": "no such picture", "why": "it is gone", "fix": "restore it", "kind": "DataError", "exit_code": 2}
Says = Callable[[Configuration, int, Task], Answer]


class Stand:
    """A crew of one that answers at once, and notes what it is asked."""

    def __init__(self, says: Says) -> None:
        self.says, self.jobs, self.asked = says, 1, list[tuple[str, int, Task]]()

    def answers(self, tasks: Iterator[tuple[Run, Task]]) -> Iterator[tuple[Run, Answer]]:
        for (one, seed), task in tasks:
            json.dumps(task)
            self.asked.append((one.name, seed, task))
            yield (one, seed), self.says(one, seed, task)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path / "study")
    found.make()
    return found


@pytest.fixture
def four() -> Grid:
    return grid(base({"threads": 1}), {"plan": ["none", "l2"], "plan.scale": [1, 10]}, SEEDS)


def runner_of(place: Place, says: Says, told: list[str] | None = None, **choices: Any) -> tuple[Runner, Stand]:
    stand = Stand(says)
    lines = [] if told is None else told
    return Runner(place, stand, lines.append, choices), stand  # type: ignore[arg-type]


def well(one: Configuration, seed: int, task: Task) -> Answer:
    return SETTLED if task["do"] == "check" else DONE


def end(place: Place, one: Configuration, seed: int) -> None:
    place.run(one.folder(seed)).mkdir()
    (place.run(one.folder(seed)) / "manifest.json").write_text("{}")


def test_a_check_builds_every_configuration_once_and_estimates_all_of_its_runs(place: Place, four: Grid) -> None:
    runner, stand = runner_of(place, well)
    assert runner.check(four) == 2.0 * len(four.configurations) * len(SEEDS)
    assert [(name, seed, task["do"]) for name, seed, task in stand.asked] == [
        (one.name, 0, "check") for one in four.configurations
    ]
    assert runner.check(four) == 2.0 * len(four.configurations) * len(SEEDS)
    assert len(stand.asked) == len(four.configurations)


def test_a_check_leaves_out_what_has_ended(place: Place, four: Grid) -> None:
    first, second, *_ = four.configurations
    for seed in SEEDS:
        end(place, first, seed)
    end(place, second, 1)
    runner, stand = runner_of(place, well)
    assert runner.check(four) == 2.0 * (len(four.configurations) * 2 - 3)
    assert [name for name, _, _ in stand.asked] == [one.name for one in four.configurations[1:]]


def test_a_bad_configuration_is_refused_before_the_first_run_with_how_many_there_are(place: Place, four: Grid) -> None:
    runner, stand = runner_of(place, lambda one, *_: WRONG if one.name.startswith("l2") else SETTLED)
    wrong = [one.name for one in four.configurations if one.name.startswith("l2")]
    with pytest.raises(TetherError) as refused:
        runner.check(four)
    others = f", nor can {len(wrong) - 1} more of {len(four.configurations)}"
    assert refused.value.what == f"`{wrong[0]}` cannot run{others}: no such picture"
    assert (refused.value.why, refused.value.fix, refused.value.exit_code) == ("it is gone", "restore it", 2)
    assert len(stand.asked) == len(four.configurations), "all are checked, so that all that is wrong is told"
    assert not any(place.folder.glob("runs/*"))


def test_one_that_is_wrong_alone_is_told_alone(place: Place, four: Grid) -> None:
    runner, _ = runner_of(place, lambda one, *_: WRONG | {"exit_code": 3} if one.name == "lp-ft" else SETTLED)
    with pytest.raises(TetherError, match="`lp-ft` cannot run: no such picture") as refused:
        runner.check(four)
    assert refused.value.exit_code == 3


def test_a_bug_is_told_as_one(place: Place, four: Grid) -> None:
    bug = {"error": "KeyError: 'x'", "why": "Traceback …", "fix": "", "kind": "bug", "exit_code": 1}
    runner, _ = runner_of(place, lambda *_: bug)
    with pytest.raises(RuntimeError, match=r"cannot run, nor can \d+ more of \d+: KeyError: 'x'\nTraceback …"):
        runner.check(four)


def test_a_check_that_is_stopped_is_no_check(place: Place, four: Grid) -> None:
    runner, _ = runner_of(place, lambda *_: {"interrupted": 15})
    with pytest.raises(Interrupted) as stopped:
        runner.check(four)
    assert stopped.value.exit_code == 143


def test_what_is_chosen_at_the_first_check_is_chosen_for_all(place: Place, four: Grid) -> None:
    devices = iter(["cpu", *["cuda"] * 99])

    def says(one: Configuration, seed: int, task: Task) -> Answer:
        settled = {"preprocessing": PREPARED, "threads": 2, "device": next(devices)}
        return SETTLED | {"settled": settled} if task["do"] == "check" else DONE

    runner, stand = runner_of(place, says)
    runner.check(four)
    assert runner.choices == {"threads": 2, "device": "cpu"}
    runner.make(runner.open(four))
    made = [task["spec"] for _, _, task in stand.asked if task["do"] == "fit"]
    assert {spec["device"] for spec in made} == {"cpu"}
    assert {spec["threads"] for spec in made} == {1}, "what a spec says goes before"


def test_what_was_chosen_before_stays(place: Place) -> None:
    small = grid(RunSpec.parse(base().model_dump(exclude_none=True, exclude={"threads"})), {}, SEEDS, baselines=False)
    runner, stand = runner_of(place, well, threads=3, device="cuda")
    runner.check(small)
    runner.make(runner.open(small))
    assert runner.choices == {"threads": 3, "device": "cuda"}
    assert {(task["spec"]["threads"], task["spec"]["device"]) for _, _, task in stand.asked} == {(3, "cuda")}


def test_from_scratch_pictures_are_prepared_as_the_check_settles(place: Place, four: Grid) -> None:
    runner, stand = runner_of(place, well)
    runner.check(four)
    runner.make(runner.open(four))
    by_name = {(name, task["do"]): task for name, _, task in stand.asked}
    assert by_name["scratch", "check"]["like"]["path"] == "mnist"
    assert by_name["scratch", "fit"]["spec"]["preprocessing"] == PREPARED
    assert "source" not in by_name["scratch", "fit"]["spec"]
    assert by_name["l2", "check"]["like"] is None
    assert "mean" not in by_name["l2", "fit"]["spec"]["preprocessing"]


def test_runs_are_made_seed_by_seed_in_the_order_of_the_grid(place: Place, four: Grid) -> None:
    runner, stand = runner_of(place, well)
    ended = runner.make(runner.open(four))
    names = [one.name for one in four.configurations]
    assert [(name, seed) for name, seed, _ in stand.asked] == [(name, seed) for seed in SEEDS for name in names]
    assert [task["spec"]["seed"] for *_, task in stand.asked] == [0] * len(names) + [1] * len(names)
    assert [(one.name, seed) for one, seed in ended["done"]] == [(name, seed) for name, seed, _ in stand.asked]
    task = stand.asked[0][2]
    assert Path(task["out"]) == place.run(four.configurations[0].folder(0))
    assert (task["claims"], task["shared"]) == (str(place.claims), str(place.shared))


def test_what_is_done_is_not_made_again(place: Place, four: Grid) -> None:
    for one in four.configurations[1:]:
        end(place, one, 0)
        end(place, one, 1)
    runner, stand = runner_of(place, well)
    runner.make(runner.open(four))
    assert [(name, seed) for name, seed, _ in stand.asked] == [("scratch", 0), ("scratch", 1)]


def test_whatever_comes_of_a_run_the_others_are_made(place: Place) -> None:
    grid_of = grid(base(), {"plan": ["none", "l2", "l2_sp", "frozen"]}, (0,), baselines=False)
    says = {"none": DONE, "l2": WRONG, "l2_sp": {"held": "by another"}, "frozen": {"interrupted": 15}}
    told: list[str] = []
    runner, _ = runner_of(place, lambda one, *_: says[one.name], told)
    ended = runner.make(runner.open(grid_of))
    assert {what: [one.name for one, _ in runs] for what, runs in ended.items()} == {
        "done": ["none"],
        "failed": ["l2"],
        "held": ["l2_sp"],
        "stopped": ["frozen"],
    }
    assert [line.split(" · ")[:3] for line in told] == [
        ["1/4", "none", "seed 0"],
        ["2/4", "l2", "seed 0"],
        ["3/4", "l2_sp", "seed 0"],
        ["4/4", "frozen", "seed 0"],
    ]
    assert " · failed: no such picture · " in told[1]
    assert " · held by another process · " in told[2]
    assert " · stopped, its state is saved · " in told[3]
    assert all("best on validation so far: none 0.500 (1 run)" in line for line in told)


def test_a_failure_is_kept_until_the_run_ends_well(place: Place) -> None:
    one_run = grid(base(), {}, (0,), baselines=False)
    name = one_run.configurations[0].folder(0)
    runner, _ = runner_of(place, lambda *_: WRONG)
    runner.make(runner.open(one_run))
    assert place.failure(name) == "no such picture"
    assert json.loads((place.folder / "runs" / f"{name}.failed.json").read_text()) == WRONG
    runner, stand = runner_of(place, lambda *_: {"held": "by another"})
    runner.make(runner.open(one_run))
    assert place.failure(name) == "no such picture"
    assert len(stand.asked) == 1, "what has failed is tried again"
    runner, _ = runner_of(place, lambda *_: DONE)
    runner.make(runner.open(one_run))
    assert place.failure(name) == ""


def test_time_left_is_told_by_the_estimates_of_the_check(place: Place) -> None:
    two = grid(base(), {"plan": ["none", "l2"]}, (0,), baselines=False)
    told: list[str] = []
    runner, _ = runner_of(place, well, told)
    runner.check(two)
    runner.make(runner.open(two))
    assert "about 3 s left" in told[0], "2 s were estimated for each, and the first has taken 3"
    assert "the last" in told[1]

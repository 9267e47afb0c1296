"""A study with a search: what is made, refused, kept and told."""

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.here import Log
from study.trials import StandIn, leave
from tether.errors import Interrupted, SettingsError
from tether.spec import RunSpec
from tether.study import gather, study
from tether.study.journal import JOURNAL
from tether.study.part import Part
from tether.study.place import Place
from tether.study.study import Study

Made = Callable[..., StandIn]


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Let studies be made by a stand-in that trains nothing."""

    def crew(accuracy: Any = lambda spec: 0.9 if 2 < spec.plan.scale < 50 else 0.5, **changes: Any) -> StandIn:
        made = StandIn(accuracy, **changes)
        monkeypatch.setattr(study, "Crew", _Generic(made))
        monkeypatch.setattr(gather, "read_study", lambda folder: None)
        return made

    return crew


class _Generic:
    """Stands for `Crew[Run]`."""

    def __init__(self, made: StandIn) -> None:
        self.made = made

    def __getitem__(self, kind: Any) -> Callable[[int], StandIn]:
        return lambda jobs: self.made


def asked(changes: Any = None, **arguments: Any) -> Study:
    spec = RunSpec.from_flags(
        {"model.name": "digits-cnn", "data.path": "pictures", "source.path": "mnist", **(changes or {})}
    )
    arguments = {"vary": {"plan": ["none", "l2_sp"]}, "seeds": range(4), "baselines": False} | arguments
    return Study(spec, **({"search": {"plan.scale": (0.01, 100.0)}, "trials": 8} | arguments))


def test_what_is_found_is_run_under_all_seeds_and_kept(tmp_path: Path, crew: Made) -> None:
    made, lines = crew(), list[str]()
    asked().run(tmp_path / "s", jobs=1, told=lines.append)
    read = Study.read(Place(tmp_path / "s"))
    plain, tuned = read.grid.configurations
    assert (plain.name, plain.trials) == ("none", 0)
    assert tuned.name.startswith("l2_sp · plan.scale ") and tuned.trials == 8
    assert 2 < tuned.spec.plan.scale < 50
    assert tuned.settings == {"plan.scale": tuned.spec.plan.scale}
    runs = Counter((spec.plan.preset, spec.plan.scale, spec.seed) for spec in made.made)
    assert set(runs.values()) == {1}
    assert {seed for preset, scale, seed in runs if (preset, scale) == ("l2_sp", tuned.spec.plan.scale)} == {0, 1, 2, 3}
    assert {seed for preset, scale, seed in runs if scale == 1.0 and preset == "l2_sp"} == {0, 1, 2}
    assert all(Place(tmp_path / "s").is_done(one.folder(seed)) for one, seed, _ in read.grid.runs())
    assert len([line for line in lines if " trials · " in line]) == 8
    assert len(made.checked) == 2, "and each configuration is built once, before anything is run"


def test_once_found_it_is_not_searched_again(tmp_path: Path, crew: Made) -> None:
    crew()
    asked().run(tmp_path / "s", jobs=1)
    (tmp_path / "s" / JOURNAL).unlink()
    again = crew()
    asked().run(tmp_path / "s", jobs=1)
    assert again.made == [] and not (tmp_path / "s" / JOURNAL).exists()
    more = crew()
    asked(seeds=range(5)).run(tmp_path / "s", jobs=1)
    assert [spec.seed for spec in more.made] == [4, 4]
    assert Study.read(Place(tmp_path / "s")).found


def test_with_more_trials_or_another_range_it_is(tmp_path: Path, crew: Made) -> None:
    crew()
    asked(trials=3).run(tmp_path / "s", jobs=1)
    more = crew()
    asked(trials=5).run(tmp_path / "s", jobs=1)
    assert len({spec.plan.scale for spec in more.made}) >= 2
    (found,) = Study.read(Place(tmp_path / "s")).found.values()
    assert found.made == 5
    other = crew()
    asked(trials=5, search={"plan.scale": (0.1, 10.0)}).run(tmp_path / "s", jobs=1)
    assert other.made
    (found,) = Study.read(Place(tmp_path / "s")).found.values()
    assert found.ranges == {"plan.scale": (0.1, 10.0)}


def test_a_changed_spec_takes_nothing_of_another(tmp_path: Path, crew: Made) -> None:
    crew()
    asked().run(tmp_path / "s", jobs=1)
    changed = crew()
    asked({"train.epochs": 3}).run(tmp_path / "s", jobs=1)
    assert {spec.train.epochs for spec in changed.made} == {3}
    (found,) = Study.read(Place(tmp_path / "s")).found.values()
    assert found.made == 8


def test_without_validation_pictures_nothing_is_run(tmp_path: Path, crew: Made) -> None:
    made = crew(validated=0)
    for call in (lambda: asked().run(tmp_path / "s", jobs=1), lambda: asked().plan(tmp_path / "s", jobs=1)):
        with pytest.raises(SettingsError, match="has no validation pictures") as caught:
            call()
        assert caught.value.fix == "--validation 0.2"
    assert made.made == [] and not (tmp_path / "s").exists()
    asked(search={}).run(tmp_path / "s", jobs=1)


def test_nor_where_the_runs_that_are_there_have_none(tmp_path: Path, crew: Made) -> None:
    made = crew()
    place, wanted = Place(tmp_path / "s"), asked(vary={"plan": ["l2_sp"]})
    asked(vary={"plan": ["l2_sp"]}, search={}).run(place.folder, jobs=1)
    for one, seed, spec in wanted.untuned.runs():
        for file in place.run(one.folder(seed)).iterdir():
            file.unlink()
        place.run(one.folder(seed)).rmdir()
        leave(place.run(one.folder(seed)), spec, None)
    count, made.validated = len(made.made), 0
    with pytest.raises(SettingsError, match="has no validation pictures"):
        wanted.run(place.folder, jobs=1)
    assert len(made.made) == count


def test_the_plan_counts_the_search_too(tmp_path: Path, crew: Made) -> None:
    made = crew()
    told = asked().plan(jobs=1)
    assert "8 runs to make: about 16 s here, one after another" in told
    assert "searched plan.scale=0.01..100: 8 trials each of l2_sp" in told
    assert "at most 21 runs more: about 42 s" in told
    assert made.made == []
    asked().run(tmp_path / "s", jobs=1)
    assert len(made.made) <= 8 + 21
    after = asked().plan(tmp_path / "s", jobs=1)
    assert "searched" not in after and "0 runs to make (8 have ended already)" in after


def test_nothing_is_pruned_so_the_count_is_reached(tmp_path: Path, crew: Made) -> None:
    made = crew(lambda spec: 0.5 + spec.plan.scale / 1e4)
    asked(trials=5).run(tmp_path / "s", jobs=1)
    assert len(made.made) == 8 + 4 * 3


def test_a_signal_while_it_searches_says_so_and_it_goes_on(tmp_path: Path, crew: Made) -> None:
    crew(stops=5)
    with pytest.raises(Interrupted, match="runs left and the search not over"):
        asked().run(tmp_path / "s", jobs=1)
    assert Study.read(Place(tmp_path / "s")).found == {}
    made = crew()
    asked().run(tmp_path / "s", jobs=1)
    (found,) = Study.read(Place(tmp_path / "s")).found.values()
    assert found.made == 8
    assert len(made.made) > 10


@pytest.mark.parametrize(("stops", "seconds"), [(5, 42), (11, 30)])
def test_what_goes_on_knows_how_long_it_takes(stops: int, seconds: int, tmp_path: Path, crew: Made) -> None:
    """Though the runs of the configuration as it is, by which trials are estimated, have ended."""
    wanted = asked(vary={"plan": ["l2_sp"]}, seeds=range(3))
    crew(lambda spec: 0.5, stops=stops)
    with pytest.raises(Interrupted):
        wanted.run(tmp_path / "s", jobs=1)
    assert wanted.plan(tmp_path / "s", jobs=1).endswith("at most 21 runs more: about 42 s")
    made, lines = crew(lambda spec: 0.5), list[str]()
    wanted.run(tmp_path / "s", jobs=1, told=lines.append)
    assert lines[0].endswith(f" · {seconds} s left at most")
    assert len(made.checked) == 1, "and a trial is not built before it is run"


def test_what_is_found_is_told(tmp_path: Path, crew: Made) -> None:
    def accuracy(spec: RunSpec) -> float | None:
        return None if spec.plan.scale > 5 else 0.5 + (spec.plan.preset == "l2_sp" and spec.plan.scale > 1) / 10

    lines: list[str] = []
    crew(accuracy)
    asked(vary={"plan": ["l2", "l2_sp"]}).run(tmp_path / "s", jobs=1, told=lines.append)
    plain, tuned = (line for line in lines if line.startswith("chosen of "))
    of_plain, of_tuned = Study.read(Place(tmp_path / "s")).found.values()
    assert plain == f"chosen of 8 trials, {of_plain.failed} failed: l2"
    assert tuned.startswith(f"chosen of 8 trials, {of_tuned.failed} failed: l2_sp · plan.scale ")
    assert lines.index(tuned) == len([line for line in lines if " trials · " in line]) + 1


def test_those_that_were_given_up_are_told(tmp_path: Path, crew: Made) -> None:
    lines: list[str] = []
    crew(lambda spec: 0.9 - abs(math.log10(spec.plan.scale)) / 10)
    asked(trials=12).run(tmp_path / "s", jobs=1, told=lines.append)
    (found,) = Study.read(Place(tmp_path / "s")).found.values()
    assert found.pruned > 0 and f"chosen of 12 trials, {found.pruned} pruned: l2_sp" in lines


def test_the_command_makes_the_same_study(tmp_path: Path) -> None:
    wanted = asked(search={"optimizer.lr": (1e-5, 0.1), "train.batch_size": (8, 32)}, trials=9)
    command = wanted.command(tmp_path)
    assert "--search optimizer.lr=1e-05..0.1 --search train.batch_size=8..32 --trials 9" in command
    assert "--search" not in asked(search={}).command(tmp_path)


@pytest.mark.parametrize("trials", [0, -1, 1.5, True, "8"])
def test_a_search_has_a_trial_at_least(trials: Any) -> None:
    with pytest.raises(SettingsError, match="trials"):
        asked(trials=trials)


def test_what_cannot_be_searched_is_refused_with_the_study() -> None:
    for arguments in (
        {"search": {"plan.scale": (1, 2)}, "vary": {"plan.scale": [1, 2]}},
        {"search": {"plan.scale": (1, 2)}, "points": [{"plan.scale": 3}]},
        {"search": {"plan.args.alpha": (1, 2)}, "vary": {"plan": ["none", "l2"]}},
        {"search": {"seed": (1, 2)}},
    ):
        with pytest.raises(SettingsError):
            asked(**arguments)


@pytest.mark.parametrize("found", [3, {"x": 3}, {"x": {"settings": {}}}, {"x": {"settings": 3, "made": "a"}}, None])
def test_what_was_found_and_cannot_be_read_is_searched_again(tmp_path: Path, crew: Made, found: Any) -> None:
    crew()
    asked(trials=3).run(tmp_path / "s", jobs=1)
    path = tmp_path / "s" / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"found": found}))
    asked(trials=3).run(tmp_path / "s", jobs=1)
    (again,) = Study.read(Place(tmp_path / "s")).found.values()
    assert again.made == 3


READS = """
import sys
sys.modules["optuna"] = None
from pathlib import Path
from tether.study.place import Place
from tether.study.study import Study
from tether.errors import MissingExtra
found = Study.read(Place(Path(sys.argv[1])))
assert [one.trials for one in found.grid.configurations] == [0, 3], found.grid
from dataclasses import replace
try:
    replace(found, trials=4).run(sys.argv[1], jobs=1)
except MissingExtra as error:
    print(error.what)
assert "torch" not in sys.modules
"""


def test_a_study_is_read_without_optuna_and_torch(tmp_path: Path, crew: Made) -> None:
    crew()
    asked(trials=3).run(tmp_path / "s", jobs=1)
    ended = subprocess.run(
        [sys.executable, "-c", READS, str(tmp_path / "s")], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "`optuna` is not installed\n"), ended.stderr


def test_on_pictures(tmp_path: Path, small: Callable[..., RunSpec], here: Log) -> None:
    search = {"optimizer.lr": (1e-4, 1e-2)}
    spec = small({"data.validation": 0.4, "plan.preset": "none"})
    found = Study(spec, seeds=range(2), baselines=False, search=search, trials=3).run(tmp_path / "s", jobs=1)
    (group,) = found.groups
    (method,) = group.methods
    assert method.trials == 3
    assert len(group.candidate(method.chosen).done) == 2
    validation = {one.name: one.validation for one in group.candidates}[method.chosen]
    read = Study.read(Place(tmp_path / "s"))
    own = Part.of({}, read.untuned, Place(tmp_path / "s")).evidence[0].mark
    assert validation is not None and own is not None and validation[0] >= own[0], "and no worse than without a search"
    assert "--search optimizer.lr=0.0001..0.01 --trials 3" in found.command

"""A search finds what is best on validation, with equal budgets, however often it is killed."""

import json
import math
import os
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from study.trials import Killed, StandIn, configurations, finish, leave, rounds
from tether.errors import Interrupted
from tether.spec import RunSpec
from tether.study import rounds as module
from tether.study.place import Place
from tether.study.search import TIE


@pytest.fixture(autouse=True)
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: what dies here is no machine."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def hill(spec: RunSpec) -> float:
    """Best at a scale of 10, and under some seeds better than others."""
    return round(0.9 - 0.1 * abs(math.log10(spec.plan.scale) - 1) - 0.01 * spec.seed, 4)


def scales(made: Any) -> list[float]:
    return [trial.params["plan.scale"] for trial in made if "plan.scale" in trial.params]


def test_it_finds_the_hill(tmp_path: Path) -> None:
    crew, lines = StandIn(hill), list[str]()
    with rounds(tmp_path, crew, trials=20, told=lines.append) as made:
        ended = finish(made)
    assert ended.best.made == 20
    assert ended.best.failed == 0
    assert 4 < ended.best.settings["plan.scale"] < 25
    assert len(lines) == 20
    assert lines[0].startswith(" 1/20 trials · l2_sp · 0.790 · ")
    assert lines[-1].endswith(" · the last")


def test_the_best_is_that_of_all_that_has_all_seeds(tmp_path: Path) -> None:
    crew = StandIn(hill)
    with rounds(tmp_path, crew, trials=20) as made:
        best = finish(made).best
    runs = Counter(spec.plan.scale for spec in crew.made)
    whole = [scale for scale, count in runs.items() if count == 3]
    assert best.settings["plan.scale"] == max(whole, key=lambda scale: -abs(math.log10(scale) - 1))
    assert best.pruned == sum(count < 3 for count in runs.values()) > 2, "and those that fall behind are pruned"
    assert {spec.seed for spec in crew.made} == {0, 1, 2}


def test_the_configuration_as_it_is_comes_first_and_wins_where_nothing_is_better(tmp_path: Path) -> None:
    crew = StandIn(lambda spec: 0.9 if spec.plan.scale == 1 else 0.8)
    with rounds(tmp_path, crew, trials=9) as made:
        best = finish(made).best
    assert [spec.plan.scale for spec in crew.made[:3]] == [1.0] * 3
    assert best.settings == {}
    assert best.made == 9


def test_of_equals_the_first(tmp_path: Path) -> None:
    with rounds(tmp_path, StandIn(lambda spec: 0.5), trials=9) as made:
        ended = finish(made)
    assert ended.best.settings == {}
    assert ended.best.pruned == 0


def test_equal_accuracy_is_decided_by_the_likelihood_and_no_other_is(tmp_path: Path) -> None:
    crew = StandIn(lambda spec: 0.5, nll=lambda spec: abs(math.log(spec.plan.scale / 30)))
    with rounds(tmp_path / "equal", crew, trials=12) as made:
        best = finish(made).best
    whole = [scale for scale, count in Counter(spec.plan.scale for spec in crew.made).items() if count == 3]
    assert best.settings["plan.scale"] == min(whole, key=lambda scale: abs(math.log(scale / 30))) != 1
    crew = StandIn(lambda spec: 0.5 + 2 * TIE * (spec.plan.scale == 1), nll=lambda spec: 1e9 * (spec.plan.scale == 1))
    with rounds(tmp_path / "other", crew, trials=6) as made:
        assert finish(made).best.settings == {}


def test_a_likelihood_that_there_is_none_of_loses_a_tie(tmp_path: Path) -> None:
    crew = StandIn(lambda spec: 0.5, nll=lambda spec: None if spec.plan.scale == 1 else 1e9)
    with rounds(tmp_path, crew, trials=4) as made:
        assert finish(made).best.settings["plan.scale"] == crew.made[3].plan.scale


def test_every_method_has_the_same_budget_and_what_has_no_use_for_it_none(tmp_path: Path) -> None:
    crew = StandIn(hill, jobs=3)
    search = {"plan.scale": (0.01, 100.0), "optimizer.lr": (1e-4, 1e-2)}
    with rounds(tmp_path, crew, of=configurations(baselines=True), search=search, trials=7) as made:
        ended = finish(made)
    names = [one.one.name for one in made.searches]
    assert names == ["scratch", "none", "l2", "differential_l2", "l2_sp", "lp-ft"]
    assert [found.made for found in ended.found] == [7] * 6
    assert [sorted(found.ranges) for found in ended.found] == [
        ["optimizer.lr"] if name in ("scratch", "none", "lp-ft") else ["optimizer.lr", "plan.scale"] for name in names
    ]


def test_of_a_run_from_scratch_the_pictures_are_as_the_others(tmp_path: Path) -> None:
    crew = StandIn(lambda spec: 0.5)
    of = configurations(baselines=True)[:1]
    with rounds(tmp_path, crew, of=of, search={"optimizer.lr": (1e-4, 1e-2)}, trials=3) as made:
        finish(made)
    assert {spec.preprocessing.size for spec in crew.made} == {12}
    assert len(crew.checked) == 1, "which is settled once"


def test_a_trial_that_fails_counts_and_is_never_chosen(tmp_path: Path) -> None:
    def cliff(spec: RunSpec) -> float | None:
        return None if spec.plan.scale > 2 or (spec.plan.scale < 0.5 and spec.seed == 1) else 0.5

    lines: list[str] = []
    with rounds(tmp_path, StandIn(cliff), trials=12, told=lines.append) as made:
        ended = finish(made)
    whole = [scale for scale in scales(ended.trials[0]) if 0.5 <= scale <= 2]
    assert ended.best.failed == 12 - len(whole) > 5
    assert ended.best.made == 12
    assert 0.5 <= ended.best.settings.get("plan.scale", 1.0) <= 2
    assert sum("failed: the loss is not finite" in line for line in lines) == ended.best.failed


def test_where_all_fail_the_configuration_stays_as_it_is(tmp_path: Path) -> None:
    with rounds(tmp_path, StandIn(lambda spec: None), trials=4) as made:
        best = finish(made).best
    assert (best.settings, best.made, best.failed, best.pruned) == ({}, 4, 4, 0)


def test_a_trial_beats_a_configuration_that_fails(tmp_path: Path) -> None:
    with rounds(tmp_path, StandIn(lambda spec: None if spec.plan.scale == 1 else 0.1), trials=4) as made:
        best = finish(made).best
    assert best.settings and best.failed == 1


def test_a_damaged_run_is_a_failed_one(tmp_path: Path) -> None:
    (one,) = configurations()
    place = Place(tmp_path)
    leave(place.run(one.folder(0)), one.at(0), 0.9)
    (place.run(one.folder(0)) / "outcome.json").write_text("{}")
    with rounds(tmp_path, StandIn(lambda spec: 0.5), trials=3) as made:
        assert finish(made).best.failed == 1


@pytest.mark.parametrize("changes", [{"plan.scale": 1000.0}, {"plan.scale": 0.0}, {"plan.scale": 3.0}])
def test_its_own_value_may_lie_out_of_the_range(tmp_path: Path, changes: dict[str, float]) -> None:
    own = changes["plan.scale"]
    crew = StandIn(lambda spec: 0.9 if spec.plan.scale == own else 0.1)
    with rounds(tmp_path, crew, of=configurations(changes=changes), trials=6) as made:
        ended = finish(made)
    assert ended.best.settings == {}
    assert (own in scales(ended.trials[0])) == (0.01 <= own <= 100)


def test_what_the_engine_settles_is_what_the_sampler_learns(tmp_path: Path) -> None:
    search = {"optimizer.lr": (1e-5, 1e-1), "plan.args.alpha": (0.01, 1.0)}
    with rounds(tmp_path, StandIn(lambda spec: 0.5), search=search, trials=2) as made:
        (own,) = [trial for trial in finish(made).trials[0] if "own" in trial.user_attrs]
    assert own.params == {"optimizer.lr": 3e-4, "plan.args.alpha": 0.1}
    assert sorted(own.intermediate_values) == [0, 1, 2]


def test_whole_numbers_are_whole(tmp_path: Path) -> None:
    crew = StandIn(lambda spec: 0.5)
    with rounds(tmp_path, crew, search={"train.batch_size": (2, 4)}, trials=9) as made:
        finish(made)
    assert {spec.train.batch_size for spec in crew.made} <= {20, 2, 3, 4}
    made_once = Counter((spec.train.batch_size, spec.seed) for spec in crew.made)
    assert set(made_once.values()) == {1}, "what is drawn twice is run once"


@pytest.mark.parametrize("seeds", [1, 2, 3, 7])
def test_three_seeds_of_a_trial_at_most(tmp_path: Path, seeds: int) -> None:
    crew = StandIn(lambda spec: 0.5)
    with rounds(tmp_path, crew, trials=2, seeds=seeds) as made:
        assert finish(made).best.seeds == tuple(range(min(3, seeds)))
    assert len(crew.made) == 2 * min(3, seeds)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_process_has_a_run_to_make(tmp_path: Path, jobs: int) -> None:
    crew = StandIn(hill, jobs=jobs)
    of = configurations({"plan": ["l2", "l2_sp"]})
    with rounds(tmp_path, crew, of=of, trials=15) as made:
        finish(made)
    assert min(crew.rounds[:5]) >= jobs or jobs == 1


def test_the_same_search_draws_the_same(tmp_path: Path) -> None:
    drawn = []
    for name in ("one", "other"):
        crew = StandIn(hill, jobs=2)
        with rounds(tmp_path / name, crew, trials=15) as made:
            finish(made)
        drawn.append([(spec.plan.scale, spec.seed) for spec in crew.made])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == len(drawn[0])


def test_more_trials_go_on_where_it_ended(tmp_path: Path) -> None:
    for trials, new in ((6, 6), (6, 0), (9, 3), (4, 0)):
        crew = StandIn(lambda spec: 0.5)
        with rounds(tmp_path, crew, trials=trials) as made:
            best = finish(made).best
        assert len(crew.made) == 3 * new
        assert best.made == max(trials, best.made)


def test_another_range_or_spec_is_another_search(tmp_path: Path) -> None:
    names = set()
    for search, changes in (
        ({"plan.scale": (0.01, 100.0)}, {}),
        ({"plan.scale": (0.1, 100.0)}, {}),
        ({"plan.scale": (0.01, 100.0)}, {"train.epochs": 3}),
    ):
        with rounds(tmp_path, StandIn(hill), of=configurations(changes=changes), search=search, trials=3) as made:
            ended = finish(made)
        names.add(made.searches[0].name)
        assert len(ended.trials[0]) == 3
    assert len(names) == 3


def appends(monkeypatch: pytest.MonkeyPatch, last: int, *, torn: bool) -> None:
    """Let a process die at the writing of a line of the journal, before it or within it."""
    real, count = JournalFileBackend.append_logs, 0

    def append(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        nonlocal count
        count += 1
        if count > last:
            if torn:
                with Path(self._file_path).open("ab") as stream:
                    stream.write(json.dumps(logs[0]).encode()[:20])
            raise Killed
        real(self, logs)

    monkeypatch.setattr(JournalFileBackend, "append_logs", append)


LINES = 48  # some more than there are


@pytest.mark.parametrize("last", range(LINES))
def test_killed_at_any_line_of_the_journal_it_ends_as_it_should(
    last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = StandIn(hill)
    with monkeypatch.context() as dying:
        appends(dying, last, torn=last % 2 == 1)
        with suppress(Killed), rounds(tmp_path, crew, trials=7) as made:
            finish(made)
    drawn = {spec.plan.scale for spec in crew.made}
    with rounds(tmp_path, crew, trials=7) as made:
        ended = finish(made)
    states = Counter(trial.state.name for trial in ended.trials[0])
    assert states["COMPLETE"] + states["PRUNED"] == 7
    assert states["RUNNING"] == states["WAITING"] == 0
    assert ended.best.made == 7
    made_once = Counter((spec.plan.scale, spec.seed) for spec in crew.made)
    assert set(made_once.values()) == {1}, "and no run is made twice"
    assert drawn <= {1.0, *(float(f"{scale:.3g}") for scale in scales(kept(ended.trials[0])))}, "nor given up"
    assert ended.best.settings["plan.scale"] == max(
        (scale for scale, count in Counter(spec.plan.scale for spec in crew.made).items() if count == 3),
        key=lambda scale: -abs(math.log10(scale) - 1),
    )


def kept(trials: Any) -> list[Any]:
    return [trial for trial in trials if trial.state.name != "FAIL"]


def test_the_lines_at_which_it_is_killed_are_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    appends(monkeypatch, 10**6, torn=False)
    with rounds(tmp_path, StandIn(hill), trials=7) as made:
        finish(made)
    count = len((tmp_path / "search.journal").read_bytes().splitlines())
    assert LINES - 8 < count <= LINES


def test_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = StandIn(hill)
    for last in range(3, 12):
        with monkeypatch.context() as dying:
            appends(dying, last, torn=True)
            with pytest.raises(Killed), rounds(tmp_path, crew, trials=12) as made:
                finish(made)
    with rounds(tmp_path, crew, trials=12) as made:
        ended = finish(made)
    assert len(kept(ended.trials[0])) == 12
    assert set(Counter((spec.plan.scale, spec.seed) for spec in crew.made).values()) == {1}


@pytest.mark.parametrize("last", range(8))
def test_killed_while_it_goes_on_with_what_was_left(last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = StandIn(hill)
    for lines in (13, last):
        with monkeypatch.context() as dying:
            appends(dying, lines, torn=False)
            with pytest.raises(Killed), rounds(tmp_path, crew, trials=7) as made:
                finish(made)
    drawn = {spec.plan.scale for spec in crew.made}
    with rounds(tmp_path, crew, trials=7) as made:
        ended = finish(made)
    assert drawn == {1.0, *(scale for scale in tried(ended.trials[0]) if scale in drawn)}
    assert len(drawn) == 3 and len(kept(ended.trials[0])) == 7


def tried(trials: Any) -> set[float]:
    return {float(f"{scale:.3g}") for scale in scales(kept(trials))}


@pytest.mark.parametrize("last", [5, 14, 30, 80, 83, 90])
def test_what_was_killed_draws_and_finds_what_it_would_have(
    last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With so many trials that the sampler learns from those before."""
    whole, cut = StandIn(hill), StandIn(hill)
    with rounds(tmp_path / "whole", whole, trials=16) as made:
        wanted = finish(made).best
    with monkeypatch.context() as dying:
        appends(dying, last, torn=False)
        with pytest.raises(Killed), rounds(tmp_path / "cut", cut, trials=16) as made:
            finish(made)
    with rounds(tmp_path / "cut", cut, trials=16) as made:
        assert finish(made).best == wanted
    assert [(spec.plan.scale, spec.seed) for spec in cut.made] == [(spec.plan.scale, spec.seed) for spec in whole.made]


@pytest.mark.parametrize("stops", [0, 1, 4, 11])
def test_a_signal_between_runs(stops: int, tmp_path: Path) -> None:
    crew = StandIn(lambda spec: 0.5, jobs=2, stops=stops)
    with pytest.raises(Interrupted), rounds(tmp_path, crew, trials=6) as made:
        finish(made)
    crew.stops = None
    with rounds(tmp_path, crew, trials=6) as made:
        assert finish(made).best.made == 6
    assert len(crew.made) == 18


def test_two_machines_share_the_trials(tmp_path: Path) -> None:
    first, second = StandIn(hill, jobs=2), StandIn(hill, jobs=3)
    with rounds(tmp_path, first, trials=15) as ours, rounds(tmp_path, second, trials=15) as theirs:
        for turn in (ours, theirs) * 40:
            if turn.left:
                turn.make()
        assert not ours.left and not theirs.left
        found, other = ours.searches[0].found(), theirs.searches[0].found()
        drawn = scales(ours.searches[0]._study.trials)
    assert found == other
    assert found.made == 15
    runs = Counter((spec.plan.scale, spec.seed) for spec in first.made + second.made)
    assert set(runs.values()) == {1}
    assert len(set(drawn)) == 15 and {scale for scale, _ in runs} == {float(f"{scale:.3g}") for scale in drawn}
    assert len(first.made) > 10 and len(second.made) > 10


def test_what_a_live_machine_has_under_way_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    with rounds(tmp_path, StandIn(hill), trials=4) as theirs:
        while not [flight for flight in theirs.searches[0].flights if flight.trial]:
            theirs.make()
            theirs.searches[0].fill(1)

        def wait(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                finish(theirs)

        monkeypatch.setattr(module.time, "sleep", wait)
        crew = StandIn(hill)
        with rounds(tmp_path, crew, trials=4) as ours:
            assert finish(ours).best == theirs.searches[0].found()
    assert len(pauses) == 3
    assert len({spec.plan.scale for spec in crew.made}) == 2, "one of the four is theirs, and one is made already"


def test_a_run_that_another_process_holds_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = configurations()
    crew = StandIn(hill, held={one.folder(1)})

    def wait(seconds: float) -> None:
        crew.held.clear()
        leave(Place(tmp_path).run(one.folder(1)), one.at(1), 0.95)

    monkeypatch.setattr(module.time, "sleep", wait)
    with rounds(tmp_path, crew, trials=1) as made:
        assert finish(made).best.settings == {}
    assert [spec.seed for spec in crew.made] == [0, 2]


def test_nothing_of_it_warns(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rounds(
            tmp_path, StandIn(hill, jobs=2), search={"plan.scale": (1, 2), "optimizer.lr": (1e-4, 1e-2)}
        ) as made:
            finish(made)

"""A study from end to end, on small pictures; where nothing depends on it, the runs are made in this process."""

import errno
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from study.here import Log, done_in, run_here, same, stamps
from tether import RunSpec
from tether.answers import Answers
from tether.engine.build import build
from tether.engine.measure import measure
from tether.engine.predict import predict
from tether.errors import InputError, MachineError, TetherError
from tether.files import verify_manifest
from tether.study import study as module
from tether.study.comparison import Comparison
from tether.study.crew import Crew
from tether.study.place import Place
from tether.study.study import Study

Spec = Callable[..., RunSpec]
Made = tuple[Study, Path, Comparison, list[str]]


def points(small: Spec, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> Study:
    """Three configurations, of which the last diverges."""
    listed = [{"plan": "none"}, {"plan": "l2_sp"}, {"plan": "none", "optimizer.lr": 1e30}]
    return Study(small(changes), points=listed, seeds=seeds, baselines=False)


@pytest.fixture(scope="session")
def made(small: Spec, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A study that two processes of their own have made."""
    study, folder, told = points(small), tmp_path_factory.mktemp("made") / "study", list[str]()
    found = study.run(folder, jobs=2, told=told.append)
    return study, folder, found, told


def test_every_run_is_there_but_the_one_that_diverges(made: Made) -> None:
    study, folder, found, told = made
    by_name = {one.name: [run.status for run in one.runs] for one in found.groups[0].candidates}
    assert by_name == {
        "none": ["done", "done"],
        "l2_sp": ["done", "done"],
        "none · optimizer.lr 1e+30": ["failed", "failed"],
    }
    assert len(told) == 6
    assert told[-1].startswith("6/6 · ")
    assert sum("not finite" in line for line in told) == 2
    assert [(name, seed) for name, seed, _ in found.failed] == [("none · optimizer.lr 1e+30", seed) for seed in (0, 1)]
    assert all("is not finite" in error for *_, error in found.failed)
    assert found.missing == 0
    assert "2 runs failed; what has failed is compared on the seeds that are left." in found.notes
    (contrast,) = found.groups[0].contrasts
    assert (contrast.ours, contrast.theirs, contrast.verdict.interval.seeds) == ("l2_sp", "none", 2)
    assert contrast.verdict.interval.items == 36
    assert found.groups[0].method("none").candidates == ("none", "none · optimizer.lr 1e+30")
    assert found.groups[0].method("none").chosen == "none", "one that fails is not chosen"
    assert str(Study.read(Place(folder)).grid) == str(study.grid)


def test_what_it_leaves_are_ordinary_runs(made: Made, stripes: Callable[..., Path]) -> None:
    _, folder, _, _ = made
    assert len(done_in(folder)) == 4
    for run in done_in(folder):
        verify_manifest(run)
        assert not (run / "checkpoints").exists()
        outcome = json.loads((run / "outcome.json").read_text())
        assert measure(run).to_json() == pytest.approx(outcome["test"])
        assert outcome["test"]["accuracy"] == Answers.read(run / "answers.safetensors").right.mean()
    labels = [one.label for one in predict(done_in(folder)[0], [stripes(count=24) / "a"])]
    assert len(labels) == 24


def test_seeds_have_one_test_part_and_training_pictures_of_their_own(
    made: Made,
) -> None:
    study, folder, found, _ = made
    splits = {
        (one.name, seed): json.loads((Place(folder).run(one.folder(seed)) / "split.json").read_text())
        for one, seed, _ in study.grid.runs()
        if Place(folder).is_done(one.folder(seed))
    }
    assert splits["none", 0] == splits["l2_sp", 0]
    assert splits["none", 1] == splits["l2_sp", 1]
    assert splits["none", 0]["test"] == splits["none", 1]["test"]
    assert splits["none", 0]["train"] != splits["none", 1]["train"]
    assert found.groups[0].counts == {"train": 24, "validation": 6, "test": 36}
    truths = {tuple(Answers.read(run / "answers.safetensors").truth) for run in done_in(folder)}
    assert len(truths) == 1


def test_in_this_process_and_one_after_another_every_bit_is_the_same(made: Made, tmp_path: Path, here: Log) -> None:
    study, folder, found, _ = made
    again = study.run(tmp_path / "here", jobs=1)
    assert [run.name for run in done_in(tmp_path / "here")] == [run.name for run in done_in(folder)]
    assert {run.name: same(run, tmp_path / "here" / "runs" / run.name) for run in done_in(folder)} == {
        run.name: [] for run in done_in(folder)
    }
    assert again.groups[0].contrasts == found.groups[0].contrasts
    assert again.summary == found.summary


def test_a_second_call_makes_nothing_again_and_tries_what_failed(made: Made, here: Log) -> None:
    study, folder, found, _ = made
    before = stamps(folder)
    again = study.run(folder)
    assert stamps(folder) == before
    assert {what for _, what in here} == {"error"}
    assert len(here) == 2
    assert again.summary == found.summary


def test_where_all_has_ended_no_process_is_started(
    small: Spec, tmp_path: Path, here: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(small(), seeds=(0,), baselines=False)
    study.run(tmp_path / "study")
    monkeypatch.setattr(module, "Crew", Crew)
    monkeypatch.setattr("subprocess.Popen", None)
    told: list[str] = []
    assert study.run(tmp_path / "study", told=told.append).missing == 0
    assert told == []


def test_more_seeds_and_configurations_make_only_those(small: Spec, tmp_path: Path, here: Log) -> None:
    folder = tmp_path / "study"
    Study(small(), {"plan": ["none"]}, seeds=(0,), baselines=False).run(folder)
    before = stamps(folder)
    here.clear()
    more = Study(small(), {"plan": ["none", "l2"]}, seeds=(0, 1), baselines=False)
    found = more.run(folder)
    none, l2 = more.grid.configurations
    assert here == [(l2.folder(0), "fresh"), (none.folder(1), "fresh"), (l2.folder(1), "fresh")]
    assert {path: stamp for path, stamp in stamps(folder).items() if path in before} == before
    assert (found.seeds, found.missing) == ((0, 1), 0)


def test_all_baselines_are_there_and_pictures_are_prepared_alike(small: Spec, tmp_path: Path, here: Log) -> None:
    study = Study(small({"train.epochs": 2}), seeds=(0, 1))
    found = study.run(tmp_path / "study")
    names = ["scratch", "linear probe", "none", "l2", "differential_l2", "l2_sp", "lp-ft"]
    (group,) = found.groups
    assert [one.name for one in group.methods] == names
    assert (found.missing, len(found.failed)) == (0, 0)
    assert {one.ours for one in group.contrasts} == {*names} - {"none"}
    assert group.transfer is not None
    assert group.chosen_by == "validation"
    specs = [RunSpec.from_toml(run / "spec.toml") for run in done_in(tmp_path / "study")]
    assert len(specs) == 14
    assert len({spec.preprocessing for spec in specs}) == 1
    assert len({(spec.threads, spec.device) for spec in specs}) == 1
    assert [one.drift == () for one in group.candidates] == [name == "scratch" for name in names]
    assert {drift.norm for drift in group.candidate("linear probe").drift if not drift.layer.startswith("head")} == {0}
    for one in study.grid.configurations:
        run = tmp_path / "study" / "runs" / one.folder(0)
        outcome = json.loads((run / "outcome.json").read_text())
        assert measure(run).to_json() == pytest.approx(outcome["test"]), one.name


def test_where_so_many_a_class_are_drawn_half_of_the_pictures_are_for_test(small: Spec) -> None:
    """So that all seeds have one test part, which no seed draws from."""
    tree = small().model_dump(exclude_none=True, exclude={"data": {"test", "test_seed", "per_class"}})
    drawn = RunSpec.parse(tree | {"data": tree["data"] | {"per_class": 4}})
    for study in (Study(drawn, baselines=False), Study(RunSpec.parse(tree), {"data.per_class": [4, 6]})):
        assert {(one.spec.data.test, one.spec.data.test_seed) for one in study.grid.configurations} == {(0.5, 0)}
    splits = [build(Study(drawn).grid.configurations[0].at(seed)).task.split for seed in (0, 1)]
    assert [*splits[0].test] == [*splits[1].test]
    assert [len(split.test) for split in splits] == [36, 36]
    assert Study(RunSpec.parse(tree)).spec.data == RunSpec.parse(tree).data
    written = RunSpec.parse(tomllib.loads(drawn.to_toml()))  # as a run leaves it, with every default
    assert "test" in written.data.model_fields_set
    assert Study(written).spec.data.test == 0.5
    for own in ({"data.test": 0.25, "data.test_seed": 3}, {"data.test_seed": 3}):
        kept = drawn.replace(own)
        assert Study(kept).spec.data == kept.data


def test_pairs_start_from_one_head_and_see_the_same_batches(small: Spec) -> None:
    study = Study(small({"source.exclude": ["head.*"], "source.head": "random"}), {"plan": ["none", "l2", "l2_sp"]})
    jobs = {
        (one.name, seed): build(one.at(seed))
        for one in study.grid.configurations
        for seed in (0, 1)
        if one.kind == "fit"
    }
    heads = {key: job.model.get_parameter("head.weight").detach() for key, job in jobs.items()}
    orders = {key: [batch.tolist() for batch in job.task.chosen(0)] for key, job in jobs.items()}
    for seed in (0, 1):
        for name in ("l2", "l2_sp", "differential_l2"):
            assert torch.equal(heads[name, seed], heads["none", seed])
            assert orders[name, seed] == orders["none", seed]
    assert not torch.equal(heads["none", 0], heads["none", 1])
    assert orders["none", 0] != orders["none", 1]


def test_a_configuration_that_cannot_run_is_refused_before_anything_is_written(
    small: Spec, tmp_path: Path, here: Log
) -> None:
    study = Study(small(), points=[{"plan": "none"}, {"source.path": "nowhere"}], seeds=(0,), baselines=False)
    with pytest.raises(TetherError, match=r"cannot run: .*nowhere") as refused:
        study.run(tmp_path / "study")
    assert refused.value.exit_code == 2
    assert here == []
    assert not (tmp_path / "study").exists()


def test_a_foreign_folder_is_refused(small: Spec, tmp_path: Path, source_run: Path) -> None:
    study = Study(small(), seeds=(0,), baselines=False)
    before = sorted(source_run.iterdir())
    with pytest.raises(InputError, match="and no study"):
        study.run(source_run)
    assert sorted(source_run.iterdir()) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        study.run(tmp_path / "file")


@pytest.mark.parametrize(("code", "kind"), [(errno.EROFS, MachineError), (errno.EACCES, InputError)])
def test_where_nothing_may_be_written_no_run_is_made(
    small: Spec, tmp_path: Path, here: Log, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(code, "no", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(kind, match="could not be written"):
        Study(small(), seeds=(0,), baselines=False).run(tmp_path / "study")
    assert here == []


def test_a_plan_writes_nothing_and_leaves_out_what_has_ended(
    made: Made, tmp_path: Path, here: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder, _, _ = made
    monkeypatch.chdir(tmp_path)
    before = stamps(folder)
    told = study.plan(folder, jobs=2)
    assert told.startswith("3 configurations × 2 seeds = 6 runs\n")
    assert "\n2 runs to make (4 have ended already): about " in told
    assert told.endswith(", 2 at once")
    assert "\n6 runs to make: about " in study.plan(jobs=1)
    assert study.plan(jobs=1).endswith(", one after another")
    assert (stamps(folder), here, [*tmp_path.iterdir()]) == (before, [], [])


def test_what_a_study_is_is_read_again_from_its_folder(small: Spec, tmp_path: Path) -> None:
    study = Study(
        RunSpec.parse(small().model_dump(exclude_none=True, exclude={"data": {"per_class"}})),
        {"plan": ["none", "l2_sp(alpha=0.5)"], "source.exclude": [("head.*",), ()]},
        seeds=(3, 1),
        fractions=[0.5, 1],
    )
    study.write(Place(tmp_path), {"device": "cpu"})
    read = Study.read(Place(tmp_path))
    assert [one.digest for one in read.grid.configurations] == [one.digest for one in study.grid.configurations]
    assert [one.name for one in read.grid.configurations] == [one.name for one in study.grid.configurations]
    assert (read.seeds, read.baselines) == ((3, 1), True)
    assert RunSpec.from_toml(tmp_path / "spec.toml") == study.spec


def test_the_device_is_chosen_once_for_all_calls(small: Spec, tmp_path: Path, here: Log) -> None:
    spec = RunSpec.parse(small().model_dump(exclude_none=True, exclude={"device"}))
    folder = tmp_path / "study"
    Study(spec, seeds=(0,), baselines=False).run(folder)
    found = json.loads((folder / "study.json").read_text())
    assert found["choices"] == {"threads": 1, "device": "cuda" if torch.cuda.is_available() else "cpu"}
    (folder / "study.json").write_text(json.dumps(found | {"choices": {"threads": 1, "device": "cuda"}}))
    if not torch.cuda.is_available():
        with pytest.raises(TetherError, match="torch finds no accelerator here"):
            Study(spec, seeds=(0, 1), baselines=False).run(folder)


def test_a_study_loads_no_torch(small: Spec, tmp_path: Path) -> None:
    """Not to be made, read, or compared; only its workers do."""
    study = Study(small({"train.epochs": 1}), {"plan": ["none", "l2"]}, seeds=(0, 1), baselines=False)
    run_here(study, tmp_path)
    code = (
        "import pkgutil, sys, tether.study\n"
        "for found in pkgutil.iter_modules(tether.study.__path__): __import__(f'tether.study.{found.name}')\n"
        "from tether.study.gather import read_study\n"
        f"assert read_study({str(tmp_path)!r}).groups[0].contrasts\n"
        f"from tether.study.study import Study; from tether.study.place import Place; from pathlib import Path\n"
        f"Study.read(Place(Path({str(tmp_path)!r}))).run({str(tmp_path)!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

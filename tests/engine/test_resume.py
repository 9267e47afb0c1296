"""A run that was cut goes on to the same bits."""

import json
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from faults.kills import COMPARED
from faults.net import Asking
from tether import RunSpec, fit, resume
from tether.checkpoint.resolve import load
from tether.data.images import Images
from tether.engine.agreement import Compared
from tether.engine.build import build
from tether.engine.measure import measure
from tether.errors import CheckpointError, DataError, InputError, Interrupted, Notice, RunExists, RunLocked
from tether.files import verify_manifest
from tether.lock import locked

Settings = Callable[..., dict[str, Any]]
EPOCHS, STEPS = 4, 4


@pytest.fixture
def spec(settings: Settings) -> RunSpec:
    changes = {"model.name": "faults.net:Asking", "train.epochs": EPOCHS, "train.batch_size": 3, "train.patience": 3}
    changes |= {"data.validation": 0.3, "data.augment": "photo"}
    return RunSpec.from_flags(settings(changes))


@pytest.fixture
def whole(spec: RunSpec, tmp_path: Path) -> Path:
    Asking.ask(0, training=True, call=-1)
    fit(spec, tmp_path / "whole")
    return tmp_path / "whole"


def cut(spec: RunSpec, run: Path, *, training: bool = True, call: int, number: int = signal.SIGTERM) -> Interrupted:
    Asking.ask(number, training=training, call=call)
    with pytest.raises(Interrupted) as stopped:
        fit(spec, run)
    Asking.ask(0, training=True, call=-1)
    return stopped.value


def assert_same(run: Path, whole: Path) -> None:
    verify_manifest(run)
    for name in COMPARED:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    apart = {"seconds", "resumed_at_steps"}
    one, other = (json.loads((folder / "outcome.json").read_text()) for folder in (run, whole))
    assert {k: v for k, v in one.items() if k not in apart} == {k: v for k, v in other.items() if k not in apart}


@pytest.mark.parametrize("call", [1, 2, STEPS, STEPS + 1, 2 * STEPS + 3])
def test_a_run_cut_in_training_ends_on_the_same_bits(spec: RunSpec, whole: Path, tmp_path: Path, call: int) -> None:
    stopped = cut(spec, tmp_path / "cut", call=call)
    assert stopped.exit_code == 143
    assert stopped.fix == f"tether fit --resume {tmp_path / 'cut'}"
    assert json.loads((tmp_path / "cut/outcome.json").read_text())["status"] == "interrupted"
    assert resume(tmp_path / "cut", trust_code=True).outcome["resumed_at_steps"] == [call]
    assert_same(tmp_path / "cut", whole)


@pytest.mark.parametrize("call", range(1, EPOCHS + 3))
def test_a_run_cut_in_an_evaluation_ends_on_the_same_bits(
    spec: RunSpec, whole: Path, tmp_path: Path, call: int
) -> None:
    """In that before training, in each validation, and in the test."""
    if call == 1:
        Asking.ask(signal.SIGTERM, training=False, call=1)
        with pytest.raises(Interrupted, match="before a step was made"):
            fit(spec, tmp_path / "cut")
        assert not (tmp_path / "cut").exists()
        return
    cut(spec, tmp_path / "cut", training=False, call=call, number=signal.SIGINT)
    fit(spec, tmp_path / "cut")
    assert_same(tmp_path / "cut", whole)


def test_a_run_cut_again_and_again_ends_on_the_same_bits(spec: RunSpec, whole: Path, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=2)
    for call in (1, 3, 2, 4):
        cut(spec, tmp_path / "cut", call=call)
    assert resume(tmp_path / "cut", trust_code=True).outcome["resumed_at_steps"] == [2, 3, 6, 8, 12]
    assert_same(tmp_path / "cut", whole)


def test_a_run_with_a_gathered_pull_goes_on_from_every_checkpoint(
    settings: Settings, stripes: Callable[..., Path], source_run: Path, tmp_path: Path
) -> None:
    """A pull that rounds away is gathered over steps; what is gathered at a cut is neither lost nor doubled."""
    changes = {"source.path": str(source_run), "source.exclude": ["head.*"], "train.epochs": 4, "optimizer.lr": 1e-4}
    changes |= {"plan.transferred": "L2(1e-4)", "plan.new": "L1(0.001)", "checkpoint.every": 1, "checkpoint.keep": 99}
    changes |= {"source.unlabelled": str(stripes("xy")), "source.data": str(stripes())}
    fit(RunSpec.from_flags(settings(changes)), tmp_path / "whole")
    saved = sorted(path.name for path in (tmp_path / "whole/checkpoints").iterdir())
    states = [json.loads((tmp_path / "whole/checkpoints" / name / "state.json").read_text()) for name in saved]
    assert [state["at"]["step"] for state in states] == [*range(13), 12]
    assert any(state["tether"]["gathered"] for state in states)
    for last in range(len(saved) - 1):
        run = tmp_path / saved[last]
        shutil.copytree(tmp_path / "whole", run)
        for name in saved[last + 1 :]:
            shutil.rmtree(run / "checkpoints" / name)
        for name in ("manifest.json", "outcome.json", "model.safetensors"):
            (run / name).unlink()
        assert resume(run).outcome["resumed_at_steps"] == [last]
        assert_same(run, tmp_path / "whole")
        assert (run / "drift.json").read_bytes() == (tmp_path / "whole/drift.json").read_bytes()


def test_a_finished_run_is_read_and_not_run(spec: RunSpec, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert resume(whole, trust_code=True).outcome["status"] == "done"
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before
    with pytest.raises(RunExists):
        fit(spec, whole)


def test_without_a_whole_checkpoint_nothing_starts_anew(spec: RunSpec, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=2)
    for folder in (tmp_path / "cut/checkpoints").iterdir():
        (folder / "state.json").write_text("{}")
    listing = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.warns(Notice, match="differs"), pytest.raises(CheckpointError, match="no checkpoint that is whole"):
        resume(tmp_path / "cut", trust_code=True)
    with pytest.warns(Notice, match="differs"), pytest.raises(CheckpointError, match="no checkpoint that is whole"):
        fit(spec, tmp_path / "cut")
    assert sorted(str(path) for path in tmp_path.rglob("*")) == listing


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_used(spec: RunSpec, whole: Path, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=6)
    _, last = sorted((tmp_path / "cut/checkpoints").iterdir())
    bad = bytearray((last / "training.safetensors").read_bytes())
    bad[len(bad) // 2] ^= 1
    (last / "training.safetensors").write_bytes(bytes(bad))
    with pytest.warns(Notice, match=r"training.safetensors` differs .* the checkpoint before it is used"):
        record = resume(tmp_path / "cut", trust_code=True)
    assert record.outcome["resumed_at_steps"] == [0]
    assert_same(tmp_path / "cut", whole)


def test_rows_of_the_metrics_after_the_checkpoint_are_taken_back(spec: RunSpec, whole: Path, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=6)
    with (tmp_path / "cut/metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "loss": 1}\n{"epo')
    resume(tmp_path / "cut", trust_code=True)
    assert_same(tmp_path / "cut", whole)


def test_relative_paths_are_told_from_where_the_run_was_started(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(spec.data.path, tmp_path / "here/data")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    cut(spec.replace({"data.path": "data"}), tmp_path / "cut", call=2)
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(DataError, match="no folder or table `data`") as refusal:
        resume(tmp_path / "cut", trust_code=True)
    assert f"relative paths of its spec are from `{tmp_path / 'here'}`, where it was started" in refusal.value.why
    monkeypatch.chdir(tmp_path / "here")
    assert resume(tmp_path / "cut", trust_code=True).outcome["status"] == "done"


def test_a_cut_run_is_told_where_a_finished_one_is_needed(spec: RunSpec, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=2)
    with pytest.raises(CheckpointError, match="has not ended") as refusal:
        measure(tmp_path / "cut", trust_code=True)
    assert refusal.value.fix.startswith(f"tether fit --resume {tmp_path / 'cut'}")
    assert load(tmp_path / "cut/checkpoints/000002/model.safetensors").classes == ("a", "b", "c")


def test_what_was_written_before_the_first_step_is_made_good(spec: RunSpec, whole: Path, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=6)
    (tmp_path / "cut/split.json").write_text("{}")
    (tmp_path / "cut/plan.json").unlink()
    resume(tmp_path / "cut", trust_code=True)
    assert_same(tmp_path / "cut", whole)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_decoding_threads_gives_the_same_bits(
    spec: RunSpec, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr("tether.data.check.cores", lambda: threads)
    monkeypatch.setitem(Images.__init__.__kwdefaults__, "budget", 0)  # decode each batch anew
    fit(spec, tmp_path / "run")
    assert_same(tmp_path / "run", whole)


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "spec.toml` was changed": lambda run, data: (run / "spec.toml").write_text(
        (run / "spec.toml").read_text().replace("lr = 0.001", "lr = 0.002")
    ),
    "the pictures of .* were changed": lambda run, data: (data / "a/00.png").write_bytes(
        (data / "a/01.png").read_bytes()
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_in_between_is_refused(spec: RunSpec, tmp_path: Path, what: str) -> None:
    shutil.copytree(spec.data.path, tmp_path / "data")
    spec = spec.replace({"data.path": str(tmp_path / "data")})
    cut(spec, tmp_path / "cut", call=2)
    CHANGES[what](tmp_path / "cut", tmp_path / "data")
    with pytest.raises(CheckpointError, match=what) as refusal:
        resume(tmp_path / "cut", trust_code=True)
    assert refusal.value.fix


def test_a_changed_source_is_refused(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    shutil.copytree(source_run, tmp_path / "source")
    changes = {"source.path": str(tmp_path / "source"), "train.epochs": 2, "checkpoint.every": 1}
    spec = RunSpec.from_flags(settings(changes))
    fit(spec, tmp_path / "run")
    (tmp_path / "run/manifest.json").unlink()
    shutil.copy(source_run / "model.safetensors", tmp_path / "source/model.safetensors")
    fit(RunSpec.from_flags(settings({"train.epochs": 5})), tmp_path / "other")
    shutil.rmtree(tmp_path / "source")
    shutil.copytree(tmp_path / "other", tmp_path / "source")
    with pytest.raises(CheckpointError, match=r"source .* was changed"):
        resume(tmp_path / "run")


def test_the_same_command_with_other_settings_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=2)
    with pytest.raises(RunExists, match=r"`optimizer\.lr` is 0\.001 there, and 0\.5 here"):
        fit(spec.replace({"optimizer.lr": 0.5}), tmp_path / "cut")


def test_a_run_that_another_process_is_at_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=2)
    with locked(tmp_path / "cut"):
        with pytest.raises(RunLocked) as refusal:
            fit(spec, tmp_path / "cut")
        with pytest.raises(RunLocked):
            resume(tmp_path / "cut", trust_code=True)
    assert refusal.value.exit_code == 6


def test_building_from_a_settled_spec_settles_nothing_anew(spec: RunSpec) -> None:
    settled = build(spec).spec
    assert build(settled).spec == settled


def test_another_torch_is_told(spec: RunSpec, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=2)
    environment = tmp_path / "cut/environment.json"
    environment.write_text(json.dumps(json.loads(environment.read_text()) | {"torch": "1.0"}))
    with pytest.warns(Notice, match=r"another torch 2.* after 1\.0: its last bits may differ"):
        resume(tmp_path / "cut", trust_code=True)


def test_changed_pictures_of_the_source_are_refused(
    settings: Settings, source_run: Path, stripes: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(stripes(), tmp_path / "source-data")
    changes = {"source.path": str(source_run), "source.data": str(tmp_path / "source-data"), "plan.preset": "ewc"}
    changes |= {"plan.args": {"strength": 1.0}, "checkpoint.every": 1}
    fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    (tmp_path / "run/manifest.json").unlink()
    shutil.copy(tmp_path / "source-data/a/01.png", tmp_path / "source-data/a/00.png")
    with pytest.raises(CheckpointError, match=r"the source's pictures .* were changed"):
        resume(tmp_path / "run")


def test_changed_unlabelled_pictures_are_refused(
    settings: Settings, source_run: Path, stripes: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(stripes("x"), tmp_path / "seen")
    changes = {"source.path": str(source_run), "source.unlabelled": str(tmp_path / "seen"), "checkpoint.every": 1}
    fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    (tmp_path / "run/manifest.json").unlink()
    shutil.copy(tmp_path / "seen/x/01.png", tmp_path / "seen/x/00.png")
    with pytest.raises(CheckpointError, match=r"the pictures of `.*seen` were changed"):
        resume(tmp_path / "run")


def test_a_signal_is_obeyed_while_outputs_are_compared(
    settings: Settings, source_run: Path, stripes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first of two batches of the unlabelled pictures, when training and the test are over."""
    changes = {"source.path": str(source_run), "source.unlabelled": str(stripes("xy")), "plan.preset": "l2"}
    spec = RunSpec.from_flags(settings(changes))
    fit(spec, tmp_path / "whole")
    calls: list[int] = []
    monkeypatch.setattr("tether.engine.agreement.Compared.add", stopping(Compared.add, calls, at=2))
    with pytest.raises(Interrupted):
        fit(spec, tmp_path / "cut")
    assert calls == [12, 12]
    monkeypatch.undo()
    resume(tmp_path / "cut")
    assert_same(tmp_path / "cut", tmp_path / "whole")
    assert (tmp_path / "cut/drift.json").read_bytes() == (tmp_path / "whole/drift.json").read_bytes()


def stopping(add: Callable[..., None], calls: list[int], at: int) -> Callable[..., None]:
    """Notes how many pictures each call is of, and signals after one of them."""

    def signalling(self: Compared, source: torch.Tensor, tuned: torch.Tensor) -> None:
        add(self, source, tuned)
        calls.append(len(source))
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGTERM)

    return signalling


def test_a_run_that_is_whole_stays_so_where_no_link_can_be_made(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(run: Path) -> bool:
        raise InputError("`latest` could not be written", why="not yours", fix="–")

    monkeypatch.setattr("tether.engine.keep.link_latest", refused)
    Asking.ask(0, training=True, call=-1)
    with pytest.warns(Notice, match="the run is whole; `latest` could not be written"):
        assert fit(spec, tmp_path / "run").outcome["status"] == "done"
    verify_manifest(tmp_path / "run")


@pytest.mark.parametrize("name", ["environment.json", "outcome.json", "metrics.jsonl"])
def test_what_is_written_again_hinders_no_resume(spec: RunSpec, whole: Path, tmp_path: Path, name: str) -> None:
    cut(spec, tmp_path / "cut", call=6)
    (tmp_path / "cut" / name).write_bytes(b"\0\n{")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        resume(tmp_path / "cut", trust_code=True)
    assert_same(tmp_path / "cut", whole)


@pytest.mark.parametrize("place", [".", "link"])
def test_a_run_goes_on_by_another_name_of_its_folder(
    spec: RunSpec, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    cut(spec, tmp_path / "cut", call=2)
    (tmp_path / "link").symlink_to("cut")
    monkeypatch.chdir(tmp_path / "cut" if place == "." else tmp_path)
    resume(place, trust_code=True)
    assert_same(tmp_path / "cut", whole)
    assert (tmp_path / "latest").resolve() == tmp_path / "cut"


def test_a_disk_that_does_not_give_the_newest_is_survived(spec: RunSpec, whole: Path, tmp_path: Path) -> None:
    cut(spec, tmp_path / "cut", call=6)
    newest = max((tmp_path / "cut/checkpoints").iterdir()) / "training.safetensors"
    newest.unlink()
    newest.symlink_to("/proc/self/mem")  # reading its start is EIO
    with pytest.warns(Notice, match="cannot be read, so the checkpoint before it is used"):
        resume(tmp_path / "cut", trust_code=True)
    assert_same(tmp_path / "cut", whole)


def test_the_threads_of_the_caller_are_as_before(spec: RunSpec, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    try:
        Asking.ask(0, training=True, call=-1)
        fit(spec, tmp_path / "run")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_an_ended_run_that_was_damaged_is_not_called_done(whole: Path) -> None:
    (whole / "outcome.json").write_text('{"status": "done"}')
    with pytest.raises(CheckpointError, match=r"outcome\.json` differs from what was written"):
        resume(whole, trust_code=True)

"""A run audited: what is right passes, what is gone is not checked, and each fault fails in its own row."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tether import RunSpec, fit
from tether.audit.result import Audit, Row
from tether.engine.audit_run import audit_run
from tether.errors import CheckpointError, DataError
from tether.files import write_manifest

Tuned = Callable[..., RunSpec]
Settings = Callable[..., dict[str, Any]]


def failed(found: Audit) -> set[tuple[str, str]]:
    return {(row.check, row.about) for row in found.failed}


def checks(rows: Iterable[Row]) -> set[str]:
    return {row.check for row in rows}


@pytest.fixture
def run(tuned: Tuned, tmp_path: Path) -> Callable[..., Path]:
    """A finished run from a source, of which the fixture keeps a copy of its own in a file."""

    def run(changes: Mapping[str, Any] | None = None) -> Path:
        spec = tuned(changes)
        shutil.copytree(Path(spec.source.path), tmp_path / "source")
        fit(spec.replace({"source.path": str(tmp_path / "source")}), tmp_path / "run")
        return tmp_path / "run"

    return run


@pytest.fixture
def normed(settings: Settings, resnet_run: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A finished run of a network with BatchNorm, under a policy."""

    def normed(policy: str) -> Path:
        changes = {"model.name": "cifar-resnet20", "source.path": str(resnet_run), "source.exclude": ["linear.*"]}
        changes |= {"batchnorm": policy, "train.epochs": 1}
        fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
        return tmp_path / "run"

    return normed


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    found = json.loads(path.read_text())
    path.write_text(json.dumps(change(found) or found))
    write_manifest(path.parent)


def write_model(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Other weights with the same description, as a tool that knows nothing of manifests would write them."""
    from safetensors import safe_open

    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, about)
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    "plan",
    [
        {"plan.preset": "l2_sp"},
        {"plan.preset": "frozen"},
        {"plan.preset": "none"},
        {"plan.preset": "differential_l2"},
        {"plan.preset": "l1_sp", "plan.args": {"alpha": 0.001}},
        {"plan.preset": "mars_sp", "plan.args": {"radius": 4.0}},
        {"plan.preset": "ewc", "plan.args": {"strength": 100.0}},
        {"plan.transferred": "L2(0.1)", "plan.overrides": {"*.bias": "none"}},
        {"plan.preset": "l2_sp", "source.exclude": []},
        {"plan.preset": "l2_sp", "optimizer.name": "sgd"},
    ],
    ids=str,
)
def test_a_run_that_is_what_its_spec_says_passes(run: Callable[..., Path], plan: dict[str, Any]) -> None:
    found = audit_run(run(plan))
    assert found.passed, found
    assert not found.unchecked, found
    assert {"plan as built", "reference as kept", "acted", "resume"} <= checks(found.rows)


def test_a_run_from_scratch_passes_without_a_source(source_run: Path) -> None:
    found = audit_run(source_run)
    assert found.passed, found
    assert "reference as kept" not in checks(found.rows)


def test_a_head_of_which_some_rows_are_new(settings: Settings, stripes: Any, source_run: Path, tmp_path: Path) -> None:
    fit(
        RunSpec.from_flags(settings({"source.path": str(source_run), "data.path": str(stripes("bcd"))})), tmp_path / "r"
    )
    found = audit_run(tmp_path / "r")
    assert found.passed, found
    assert {"head.weight[new]", "head.weight[transferred]"} <= {row.about for row in found.rows}


@pytest.mark.parametrize("policy", ["source", "update"])
def test_statistics_are_held_against_the_policy(normed: Callable[[str], Path], policy: str) -> None:
    folder = normed(policy)
    found = audit_run(folder)
    assert found.passed, found
    kept = [row.measured for row in found.rows if row.check == "batchnorm as kept"]
    assert kept == ["stay" if policy == "source" else "move"] * 19
    edit_spec(folder, f'batchnorm = "{policy}"', f'batchnorm = "{"update" if policy == "source" else "source"}"')
    assert checks(audit_run(folder).failed) == {"batchnorm as kept"}


def test_one_layer_whose_statistics_moved_is_named(normed: Callable[[str], Path]) -> None:
    folder = normed("source")
    write_model(folder, lambda tensors: tensors["bn1.running_var"].mul_(1.001))
    assert failed(audit_run(folder)) == {("batchnorm as kept", "bn1")}


def edit_spec(folder: Path, old: str, new: str) -> None:
    text = (folder / "spec.toml").read_text()
    assert old in text
    (folder / "spec.toml").write_text(text.replace(old, new))
    write_manifest(folder)


def test_a_plan_that_is_not_the_specs(run: Callable[..., Path]) -> None:
    folder = run()
    edit(folder / "plan.json", lambda plan: plan["parameters"][2].update(strength=0.2))
    found = audit_run(folder)
    assert failed(found) == {("plan as built", "plan.json")}
    assert "`conv2.weight`" in found.failed[0].note


def test_a_spec_that_was_edited_later(run: Callable[..., Path]) -> None:
    folder = run({"plan.preset": "l2_sp", "plan.args": {"alpha": 0.1}})
    edit_spec(folder, "alpha = 0.1", "alpha = 0.3")
    found = audit_run(folder)
    assert failed(found) == {("plan as built", "plan.json")}
    assert found.plan.startswith("l2_sp · transferred → source: L2(0.1)")


def test_a_source_that_has_changed(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    write_model(tmp_path / "source", lambda tensors: tensors["conv2.weight"].mul_(1.001))
    found = audit_run(folder)
    assert failed(found) == {("reference as kept", "8 parameters")}
    assert "`conv2.weight`" in found.failed[0].note


def test_a_source_that_is_gone(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    shutil.rmtree(tmp_path / "source")
    found = audit_run(folder)
    assert found.passed
    assert checks(found.unchecked) == {"plan as built", "reference as kept", "pull delivered"}
    assert all(f"there is no source `{tmp_path / 'source'}`" in row.note for row in found.unchecked)
    assert checks(found.rows) - checks(found.unchecked) == {"acted"}


def test_data_that_is_gone(run: Callable[..., Path], stripes: Any, tmp_path: Path) -> None:
    shutil.copytree(stripes(), tmp_path / "data")
    folder = run({"data.path": str(tmp_path / "data")})
    shutil.rmtree(tmp_path / "data")
    found = audit_run(folder)
    assert found.passed
    assert checks(found.unchecked) == {"plan as built", "pull delivered"}
    assert checks(found.rows) - checks(found.unchecked) == {"reference as kept", "acted"}


def test_statistics_without_their_source_are_not_known(normed: Callable[[str], Path], tmp_path: Path) -> None:
    folder = normed("source")
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(text.replace(str(RunSpec.from_toml(folder / "spec.toml").source.path), "/gone"))
    write_manifest(folder)
    assert {"batchnorm as kept", "reference as kept"} <= checks(audit_run(folder).unchecked)


def test_a_plan_that_data_weighed_is_not_known_without_them(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run({"plan.preset": "ewc", "plan.args": {"strength": 100.0}})
    shutil.rmtree(tmp_path / "source")
    assert checks(audit_run(folder).unchecked) == {"plan as built", "reference as kept", "acted", "pull delivered"}


def test_a_frozen_parameter_that_moved(run: Callable[..., Path]) -> None:
    folder = run({"plan.preset": "frozen"})
    write_model(folder, lambda tensors: tensors["conv2.weight"][0].add_(1e-6))
    found = audit_run(folder)
    assert failed(found) == {("frozen as kept", "8 parameters")}
    assert "`conv2.weight`" in found.failed[0].note


@pytest.mark.parametrize("acted", [0, 8, 10])
def test_a_penalty_that_did_not_act_in_every_step(run: Callable[..., Path], acted: int) -> None:
    folder = run()
    edit(folder / "outcome.json", lambda outcome: outcome.update(steps_acted=acted))
    found = audit_run(folder)
    assert failed(found) == {("acted", "9 steps")}
    assert found.failed[0].note == f"`outcome.json`: the penalty acted on {acted} of 9 steps"


def test_what_is_gathered_need_not_act_on_the_last_steps_but_must_act(run: Callable[..., Path]) -> None:
    folder = run({"plan.preset": "l2_sp", "plan.via": "prox", "plan.args": {"alpha": 0.001, "beta": 0.001}})
    for acted, passed in ((0, False), (5, True), (9, True), (10, False)):
        edit(folder / "outcome.json", lambda outcome, acted=acted: outcome.update(steps_acted=acted))
        assert audit_run(folder).passed is passed


def test_a_penalty_that_acts_though_nothing_is_held(run: Callable[..., Path]) -> None:
    folder = run({"plan.preset": "none"})
    edit(folder / "outcome.json", lambda outcome: outcome.update(steps_acted=9))
    assert failed(audit_run(folder)) == {("acted", "9 steps")}


def test_an_outcome_that_says_no_steps_is_not_known(run: Callable[..., Path]) -> None:
    folder = run()
    edit(folder / "outcome.json", lambda outcome: {key: outcome[key] for key in outcome if key != "steps_acted"})
    found = audit_run(folder)
    assert found.passed
    assert checks(found.unchecked) == {"acted"}


def test_a_pull_that_does_not_arrive_in_the_step(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run()
    monkeypatch.setattr("tether.hooks.add_gradient_", lambda parts, scale=1.0: None)
    found = audit_run(folder)
    assert checks(found.failed) == {"pull delivered"}
    assert len(found.failed) == 10


def test_nothing_is_written_and_no_random_number_is_drawn(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    state = torch.get_rng_state()
    audit_run(folder)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_no_finished_run_is_refused(run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run is in"):
        audit_run(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        audit_run(tmp_path / "nowhere")
    folder = run()
    (folder / "plan.json").write_text("[]")
    write_manifest(folder)
    with pytest.raises(DataError, match=r"`.*plan\.json` cannot be read"):
        audit_run(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"a folder without `model\.safetensors`"):
        audit_run(folder)

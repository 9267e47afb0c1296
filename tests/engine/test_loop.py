import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, log_loss

from tether import RunSpec, fit
from tether.answers import Answers
from tether.data import pictures as files
from tether.engine.best import Best
from tether.engine.build import build
from tether.engine.loop import train
from tether.engine.measure import measure
from tether.engine.optimise import make_optimizer
from tether.engine.training import Training
from tether.errors import Diverged, RunExists
from tether.files import verify_manifest
from tether.scores import Scores

Settings = Callable[..., dict[str, Any]]
Tuned = Callable[..., RunSpec]
FILES = {
    ".lock",
    "README.md",
    "answers.safetensors",
    "checkpoints",
    "environment.json",
    "manifest.json",
    "metrics.jsonl",
    "model.safetensors",
    "outcome.json",
    "plan.json",
    "spec.toml",
    "split.json",
    "tether.txt",
}
FROM_A_SOURCE = {"transfer.json", "reference.safetensors", "drift.json"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def distance(one: Path, other: Path) -> float:
    """Euclidean, between the bodies of two runs."""
    a, b = weights(one), weights(other)
    body = [name for name in a if not name.startswith("head.")]
    return float(sum((a[name].double() - b[name].double()).square().sum() for name in body)) ** 0.5


def untimed(outcome: Any) -> dict[str, Any]:
    return {key: value for key, value in outcome.items() if key != "seconds"}


def test_the_same_spec_gives_the_same_bits(tuned: Tuned, tmp_path: Path) -> None:
    spec = tuned()
    one, two = fit(spec, tmp_path / "one"), fit(spec, tmp_path / "two")
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "two/model.safetensors").read_bytes()
    assert one.metrics == two.metrics
    assert untimed(one.outcome) == untimed(two.outcome)
    assert one.spec == two.spec


def test_another_seed_gives_other_bits(tuned: Tuned, tmp_path: Path) -> None:
    for seed in (0, 1):
        fit(tuned({"seed": seed}), tmp_path / str(seed))
    one, two = (weights(tmp_path / name)["head.weight"] for name in "01")
    assert not torch.equal(one, two)


def test_the_settled_spec_of_a_run_runs_it_again(tuned: Tuned, tmp_path: Path) -> None:
    fit(tuned(), tmp_path / "one")
    again = RunSpec.from_toml(tmp_path / "one/spec.toml")
    fit(again, tmp_path / "two")
    for name in ("spec.toml", "model.safetensors", "metrics.jsonl", "plan.json", "transfer.json", "split.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert again.plan.preset == "l2_sp"
    assert (again.data.augment, again.threads, again.preprocessing.padding) == ("shift", 1, None)


def test_a_run_folder_is_whole(tuned: Tuned, source_run: Path, tmp_path: Path) -> None:
    record = fit(tuned(), tmp_path / "runs/one")
    assert {path.name for path in (tmp_path / "runs/one").iterdir()} == FILES | FROM_A_SOURCE
    assert {path.name for path in source_run.iterdir()} == FILES
    verify_manifest(tmp_path / "runs/one")
    listed = json.loads((tmp_path / "runs/one/manifest.json").read_text())["files"]
    assert listed.keys() == (FILES | FROM_A_SOURCE) - {".lock", "checkpoints", "manifest.json"}
    assert (tmp_path / "runs/latest").resolve() == (tmp_path / "runs/one").resolve()
    assert [row["epoch"] for row in record.metrics] == [1, 2, 3]
    assert record.outcome["status"] == "done"
    assert record.folder == tmp_path / "runs/one"


def test_the_link_latest_follows_the_last_run(settings: Settings, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fit(RunSpec.from_flags(settings({"train.epochs": 1})), tmp_path / name)
    assert (tmp_path / "latest").resolve() == (tmp_path / "two").resolve()


def test_an_existing_folder_is_refused_before_anything_is_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mine").touch()
    absent = RunSpec.from_flags(settings({"data.path": str(tmp_path / "absent"), "source.path": "absent"}))
    with pytest.raises(RunExists) as refusal:
        fit(absent, tmp_path / "run")
    assert refusal.value.fix == f"--out {tmp_path / 'run-2'}"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine"]


def test_a_dangling_link_is_not_written_through(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunExists):
        fit(RunSpec.from_flags(settings()), tmp_path / "run")
    assert not (tmp_path / "elsewhere").exists()


def test_frozen_moves_nothing_that_was_transferred(settings: Settings, resnet_run: Path, tmp_path: Path) -> None:
    spec = settings({"model.name": "cifar-resnet20", "source.path": str(resnet_run), "source.exclude": ["linear.*"]})
    record = fit(RunSpec.from_flags(spec | {"plan.preset": "frozen"}), tmp_path / "run")
    source, found = weights(resnet_run), weights(tmp_path / "run")
    assert all(torch.equal(found[name], source[name]) for name in source if not name.startswith("linear."))
    assert found["linear.weight"].abs().sum() > 0
    assert record.outcome["displacement"] == 0


@pytest.mark.parametrize("policy", ["source", "update"])
def test_running_statistics_are_the_sources_unless_updated(
    settings: Settings, resnet_run: Path, tmp_path: Path, policy: str
) -> None:
    changes = {"model.name": "cifar-resnet20", "source.path": str(resnet_run), "batchnorm": policy, "train.epochs": 1}
    changes |= {"source.exclude": ["linear.*", "layer3.2.bn2.*"]}
    record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    source, found = weights(resnet_run), weights(tmp_path / "run")
    statistics = [name for name in source if "running_" in name]
    same = {name for name in statistics if torch.equal(source[name], found[name])}
    new = {"layer3.2.bn2.running_mean", "layer3.2.bn2.running_var"}
    assert same == (set(statistics) - new if policy == "source" else set())
    assert found["layer3.2.bn2.num_batches_tracked"] == 3
    assert found["bn1.num_batches_tracked"] == source["bn1.num_batches_tracked"] + (0 if policy == "source" else 3)
    assert record.outcome["batchnorm"] == policy
    assert f"| {policy} |" in (tmp_path / "run/README.md").read_text()


def test_the_last_epoch_is_taken_without_validation(settings: Settings, tmp_path: Path) -> None:
    record = fit(RunSpec.from_flags(settings()), tmp_path / "run")
    assert (record.outcome["epoch_taken"], record.outcome["validation"]) == (3, None)
    assert "without validation" in record.outcome["chosen_on"]
    assert "validation_accuracy" not in record.metrics[0]


def test_the_best_epoch_on_validation_is_taken(settings: Settings, tmp_path: Path) -> None:
    spec = RunSpec.from_flags(settings({"data.validation": 0.5, "train.epochs": 8, "optimizer.lr": 0.03}))
    record = fit(spec, tmp_path / "run")
    marks = [(row["validation_accuracy"], -row["validation_nll"]) for row in record.metrics]
    taken = record.outcome["epoch_taken"]
    assert taken == 1 + max(range(8), key=lambda epoch: marks[epoch])
    assert record.outcome["validation"]["accuracy"] == marks[taken - 1][0]
    short = fit(spec.replace({"train.epochs": 8}), tmp_path / "again")
    assert short.outcome["epoch_taken"] == taken


def test_the_weights_kept_are_those_of_the_epoch_taken(settings: Settings) -> None:
    job = build(RunSpec.from_flags(settings({"data.validation": 0.5, "train.epochs": 6, "optimizer.lr": 0.03})))
    states: list[dict[str, torch.Tensor]] = []

    def log(row: dict[str, Any]) -> None:
        states.append({name: value.clone() for name, value in job.model.state_dict().items()})

    best = train(Training(job, make_optimizer(job.spec.optimizer, job.model)), log, quiet=True)
    assert all(torch.equal(best.state[name], value) for name, value in states[best.epoch - 1].items())


def test_the_outcome_is_of_the_weights_kept(tuned: Tuned, source_run: Path, tmp_path: Path) -> None:
    changes = {"data.validation": 0.5, "train.epochs": 6, "optimizer.lr": 0.1}
    record = fit(tuned(changes), tmp_path / "run")
    assert record.outcome["epoch_taken"] < 6
    assert record.outcome["test"] == measure(tmp_path / "run").to_json()
    assert record.outcome["displacement"] == pytest.approx(distance(tmp_path / "run", source_run), rel=1e-5)


def test_the_loss_and_accuracy_of_an_epoch_are_means_over_its_pictures(
    settings: Settings, source_run: Path, tmp_path: Path
) -> None:
    # at such a rate no weight moves, so that the epoch's figures are those of the source's own weights
    changes = {"source.path": str(source_run), "plan.preset": "none", "optimizer.lr": 1e-30, "train.batch_size": 4}
    spec = RunSpec.from_flags(settings(changes))
    record = fit(spec, tmp_path / "run")
    job = build(spec)
    for epoch, row in enumerate(record.metrics):
        batches = list(job.task.batches(epoch))
        logits = job.model(torch.cat([pictures for pictures, _ in batches])).detach()
        labels = torch.cat([labels for _, labels in batches])
        assert row["loss"] == pytest.approx(log_loss(labels, logits.double().softmax(1), labels=range(3)), rel=1e-5)
        assert row["train_accuracy"] == accuracy_score(labels, logits.argmax(1))
        assert row["step"] == 4 * (epoch + 1)


def test_a_tie_on_accuracy_goes_to_the_more_likely_and_then_to_the_earlier(settings: Settings) -> None:
    job = build(RunSpec.from_flags(settings()))
    labels, best = np.array([0, 1]), Best()
    for sure in (1.0, 3.0, 2.0, 3.0):
        best.offer(job.model, Scores.of(Answers.of(sure * np.eye(2), labels)))
    assert (best.epoch, best.epochs) == (2, 4)


def test_training_stops_when_validation_does_not_get_better(settings: Settings, tmp_path: Path) -> None:
    spec = settings({"data.validation": 0.5, "train.epochs": 200, "train.patience": 2, "optimizer.lr": 0.01})
    record = fit(RunSpec.from_flags(spec), tmp_path / "run")
    taken, made = record.outcome["epoch_taken"], record.outcome["epochs"]
    assert made == taken + 2 == len(record.metrics) < 200


def test_training_reads_no_test_picture_and_decodes_its_own_beforehand(settings: Settings) -> None:
    job = build(RunSpec.from_flags(settings({"data.validation": 0.5})))
    read: list[int] = []
    whole = job.task.pictures.read

    def counting(index: int, least: int = 0) -> Any:
        read.append(index)
        return whole(index, least)

    object.__setattr__(job.task.pictures, "read", counting)
    train(Training(job, make_optimizer(job.spec.optimizer, job.model)), lambda row: None, quiet=True)
    assert sorted(set(read)) == job.task.split.validation.tolist()


def test_a_run_looks_at_each_test_picture_once_and_last(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    whole = files.opened

    def counting(path: Path, least: int = 0) -> Any:
        if least != 1:  # 1 is the check before the run that every picture can be read
            decoded.append(f"{path.parent.name}/{path.name}")
        return whole(path, least)

    monkeypatch.setattr(files, "opened", counting)
    fit(RunSpec.from_flags(settings({"data.validation": 0.5})), tmp_path / "run")
    split = json.loads((tmp_path / "run/split.json").read_text())
    assert decoded[-len(split["test"]) :] == split["test"]
    assert not set(decoded[: -len(split["test"])]) & set(split["test"])


def test_a_run_that_diverges_stops_before_the_update(settings: Settings, tmp_path: Path) -> None:
    spec = RunSpec.from_flags(settings({"optimizer.lr": 1e9, "optimizer.name": "sgd", "train.epochs": 20}))
    job = build(spec)
    with pytest.raises(Diverged, match="is not finite at step"):
        train(Training(job, make_optimizer(job.spec.optimizer, job.model)), lambda row: None, quiet=True)
    assert all(p.isfinite().all() for p in job.model.parameters())

    with pytest.raises(Diverged) as refusal:
        fit(spec, tmp_path / "run")
    assert refusal.value.exit_code == 4
    assert refusal.value.what.startswith(f"`{tmp_path / 'run'}`: the ")
    outcome = json.loads((tmp_path / "run/outcome.json").read_text())
    assert outcome == {"status": "diverged", "error": refusal.value.what}
    assert not (tmp_path / "run/model.safetensors").exists()
    assert not (tmp_path / "run/manifest.json").exists()
    assert not (tmp_path / "latest").exists()


@pytest.mark.parametrize(
    ("lr", "message"), [(1e30, "`tether/value` is not finite after epoch 1"), (1e15, "not finite on 12 of 12 pictures")]
)
def test_a_run_whose_last_step_diverges_is_told_too(
    settings: Settings, tmp_path: Path, lr: float, message: str
) -> None:
    changes = {"optimizer.lr": lr, "train.epochs": 1, "train.batch_size": 18, "optimizer.warmup": 0.0}
    with pytest.raises(Diverged, match=message):
        fit(RunSpec.from_flags(settings(changes | {"plan.preset": "l2"})), tmp_path / "run")
    assert json.loads((tmp_path / "run/outcome.json").read_text())["status"] == "diverged"


def test_displacement_in_the_outcome_is_the_distance_from_the_source(
    tuned: Tuned, source_run: Path, tmp_path: Path
) -> None:
    record = fit(tuned(), tmp_path / "run")
    assert record.outcome["displacement"] == pytest.approx(distance(tmp_path / "run", source_run), rel=1e-5)


def test_a_run_does_not_depend_on_the_sources_file_afterwards(tuned: Tuned, source_run: Path, tmp_path: Path) -> None:
    fit(tuned(), tmp_path / "run")
    kept, source = load_file(tmp_path / "run/reference.safetensors"), weights(source_run)
    assert kept.keys() == {name for name in source if not name.startswith("head.")}
    assert all(torch.equal(kept[name], source[name]) for name in kept)


def test_without_out_a_run_is_named_by_its_time(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = fit(RunSpec.from_flags(settings({"train.epochs": 1})))
    assert record.folder is not None
    assert record.folder.parent == Path("runs")
    assert record.folder.name[:4].isdigit()

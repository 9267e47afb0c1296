from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tether import RunSpec, fit
from tether.curvature.fisher import fisher
from tether.data.loading import load
from tether.engine.build import build
from tether.engine.importance import importance
from tether.engine.source import source_model
from tether.engine.trained import Trained
from tether.errors import SettingsError
from tether.tasks.image import still_batches

Settings = Callable[..., dict[str, Any]]


def job_of(settings: Settings, source_run: Path, changes: dict[str, Any]) -> Any:
    return build(RunSpec.from_flags(settings({"source.path": str(source_run), "plan.preset": "ewc"} | changes)))


def test_the_source_models_information_on_its_own_pictures_weighs_the_penalty(
    settings: Settings, stripes: Any, source_run: Path
) -> None:
    changes = {"data.path": str(stripes("efg")), "source.data": str(stripes()), "plan.args.strength": 3.0}
    job = job_of(settings, source_run, changes)
    model = source_model(job.spec, job.source)
    pictures = load(str(stripes()))
    expected = fisher(model, still_batches(pictures, np.arange(len(pictures)), job.spec))
    parts = {part.name: part for part in job.leash.parts}
    assert "head.weight" not in parts
    for name, part in parts.items():
        assert part.penalty.strength == 3.0
        torch.testing.assert_close(part.penalty.importance, expected[name], rtol=1e-5, atol=1e-12)


def test_on_the_targets_pictures_the_source_model_gives_the_classes(
    settings: Settings, stripes: Any, source_run: Path
) -> None:
    changes = {"data.path": str(stripes("efg")), "plan.args.strength": 3.0}
    job = job_of(settings, source_run, changes)
    expected = fisher(source_model(job.spec, job.source), job.task.still("train"))
    for part in job.leash.parts:
        torch.testing.assert_close(part.penalty.importance, expected[part.name], rtol=1e-5, atol=1e-12)
    found = importance(job.spec, job.source, job.moved, job.task)
    assert "labelled by the source model" in str(found)
    assert found.count == len(job.task.split.train)


def test_rows_of_a_shared_head_have_the_information_of_their_source_rows(
    settings: Settings, stripes: Any, source_run: Path
) -> None:
    job = job_of(settings, source_run, {"data.path": str(stripes("bcd")), "plan.args.strength": 1.0})
    found = importance(job.spec, job.source, job.moved, job.task)
    whole = fisher(source_model(job.spec, job.source), job.task.still("train"))
    torch.testing.assert_close(found["head.weight"][:2], whole["head.weight"][1:])  # b and c
    assert not found["head.weight"][2].any()  # d


@pytest.mark.parametrize(
    ("old", "new", "matching"),
    [("conv", "layer", {"source.rename": [("^layer", "conv")]}), ("", "x_", {"source.by": "order"})],
    ids=["renamed", "in order"],
)
def test_parameters_of_other_names_have_the_information_of_their_source(
    settings: Settings, source_run: Path, tmp_path: Path, old: str, new: str, matching: dict[str, Any]
) -> None:
    model = Trained.load(source_run).model
    renamed = {name.replace(old, new, 1): value for name, value in model.state_dict().items()}
    torch.save(renamed, tmp_path / "other.pt")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    given = {"source.path": str(tmp_path / "other.pt"), "source.classes": str(tmp_path / "classes.txt")}
    given |= {"preprocessing.mean": (0.5,), "preprocessing.std": (0.5,), "plan.args.strength": 1.0}
    job = job_of(settings, source_run, given | matching)
    found = importance(job.spec, job.source, job.moved, job.task)
    expected = fisher(model, job.task.still("train"))
    assert set(found) == set(expected) == {part.name for part in job.leash.parts}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-12)


def test_the_given_labels_are_those_of_the_sources_pictures_as_its_head_counts_them(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    """The source's head has its rows in another order than its pictures have their classes."""
    tensors, order = load_file(source_run / "model.safetensors"), [2, 0, 1]
    for name in ("head.weight", "head.bias"):
        tensors[name] = tensors[name][order].contiguous()
    save_file(tensors, tmp_path / "turned.safetensors")
    (tmp_path / "classes.txt").write_text("c\na\nb\n")
    given = {"source.path": str(tmp_path / "turned.safetensors"), "source.classes": str(tmp_path / "classes.txt")}
    given |= {"source.data": str(stripes()), "preprocessing.mean": (0.5,), "preprocessing.std": (0.5,)}
    given |= {"plan.args.strength": 1.0, "fisher.kind": "empirical"}
    job = job_of(settings, source_run, given)
    found = importance(job.spec, job.source, job.moved, job.task)
    pictures = load(str(stripes()))
    plain = fisher(
        Trained.load(source_run).model,
        still_batches(pictures, np.arange(len(pictures)), job.spec),
        kind="empirical",
    )
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-12)


def test_the_kind_the_floor_and_the_normalisation_are_the_specs(settings: Settings, source_run: Path) -> None:
    changes = {"plan.args.strength": 1.0, "fisher.kind": "sampled", "fisher.normalise": True, "fisher.floor": 0.5}
    job = job_of(settings, source_run, changes)
    found = importance(job.spec, job.source, job.moved, job.task)
    plain = fisher(source_model(job.spec, job.source), job.task.still("train"), kind="sampled", seed=job.spec.seed)
    mean = torch.cat([value.flatten() for value in plain.values()]).double().mean()
    assert (found.kind, found.floor, found.scale) == ("sampled", 0.5, pytest.approx(float(mean), rel=1e-5))
    torch.testing.assert_close(found["conv1.weight"], plain["conv1.weight"] / found.scale + 0.5)


def test_training_starts_with_the_same_random_numbers_as_without_it(settings: Settings, source_run: Path) -> None:
    states = []
    for plan in ({"plan.args.strength": 1.0}, {"plan.preset": "l2_sp", "plan.args.alpha": 1.0}):
        job_of(settings, source_run, plan)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_fewer_pictures_are_drawn_by_the_seed(settings: Settings, stripes: Any, source_run: Path) -> None:
    changes = {"source.data": str(stripes()), "plan.args.strength": 1.0, "fisher.count": 4}
    ones, again, others = (
        importance(job.spec, job.source, job.moved, job.task)
        for job in (job_of(settings, source_run, changes | {"seed": seed}) for seed in (0, 0, 1))
    )
    assert ones.count == 4
    assert all(torch.equal(ones[name], again[name]) for name in ones)
    assert any(not torch.equal(ones[name], others[name]) for name in ones)


@pytest.mark.parametrize("preset", ["ewc", "l2_sp_fisher"])
@pytest.mark.parametrize("kind", ["exact", "sampled"])
def test_fit_holds_by_it_and_more_strongly_the_stronger(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path, preset: str, kind: str
) -> None:
    argument = {"ewc": "strength", "l2_sp_fisher": "alpha"}[preset]
    moved = []
    for strength in (1.0, 1e4):
        changes = {"source.path": str(source_run), "data.path": str(stripes("efg")), "plan.preset": preset}
        changes |= {f"plan.args.{argument}": strength, "fisher.kind": kind, "optimizer.lr": 1e-3}
        record = fit(RunSpec.from_flags(settings(changes)), tmp_path / f"{strength:g}")
        assert record.outcome["steps_acted"] == record.outcome["steps"]
        moved.append(record.outcome["displacement"])
    assert moved[1] < 0.8 * moved[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source.path": None}, "needs a source"),
        ({"fisher.kind": "empirical"}, "needs the source's pictures"),
        ({"fisher.data": "source"}, "needs the source's pictures"),
        ({"plan.args": {}}, "needs `strength`"),
    ],
)
def test_what_has_no_information_is_refused(
    settings: Settings, source_run: Path, changes: dict[str, Any], said: str
) -> None:
    given = {"source.path": str(source_run), "plan.preset": "ewc", "plan.args": {"strength": 1.0}} | changes
    flags = settings({key: value for key, value in given.items() if value is not None})
    with pytest.raises(SettingsError, match=said):
        build(RunSpec.from_flags(flags))

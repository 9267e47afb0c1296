from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tether import RunSpec, fit
from tether.curvature.fisher import fisher
from tether.engine.build import build
from tether.engine.importance import importance
from tether.engine.source import source_model
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
    from tether.data.loading import load

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


def test_fewer_pictures_are_drawn_by_the_seed(settings: Settings, stripes: Any, source_run: Path) -> None:
    changes = {"data.path": str(stripes("efg")), "plan.args.strength": 1.0, "fisher.count": 4}
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

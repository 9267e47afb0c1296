from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tether import RunSpec
from tether.engine.build import build
from tether.engine.optimise import make_optimizer, make_schedule
from tether.engine.rows import rows


def test_a_parameter_of_two_roles_has_two_rows(
    settings: Callable[..., dict[str, Any]], stripes: Any, source_run: Path
) -> None:
    job = build(RunSpec.from_flags(settings({"source.path": str(source_run), "data.path": str(stripes("bcd"))})))
    found = [row for row in rows(job.leash, make_optimizer(job.spec.optimizer, job.model)) if row.name == "head.weight"]
    assert [(row.fate, row.reference, row.strength) for row in found] == [
        ("transferred rows", "source", 0.1),
        ("new rows", "zero", 0.01),
    ]


def test_the_rate_is_the_peak_also_in_the_warm_up(settings: Callable[..., dict[str, Any]]) -> None:
    job = build(RunSpec.from_flags(settings({"optimizer.lr": 0.5})))
    optimizer = make_optimizer(job.spec.optimizer, job.model)
    make_schedule(job.spec.optimizer, optimizer, 100)
    assert optimizer.param_groups[0]["lr"] < 0.5
    assert {row.lr for row in rows(job.leash, optimizer)} == {0.5}


def test_a_frozen_parameter_has_no_rate(settings: Callable[..., dict[str, Any]], source_run: Path) -> None:
    changes = {"source.path": str(source_run), "source.exclude": ["head.*"], "plan.preset": "frozen"}
    job = build(RunSpec.from_flags(settings(changes)))
    found = {row.name: row for row in rows(job.leash, make_optimizer(job.spec.optimizer, job.model))}
    frozen = found["conv1.weight"]
    assert (frozen.fate, frozen.penalty, frozen.lr) == ("frozen", "Frozen()", None)
    assert (found["head.bias"].fate, found["head.bias"].penalty) == ("new", "–")
    assert frozen.to_json()["shape"] == (16, 1, 3, 3)


def test_a_sum_of_penalties_has_no_single_strength(settings: Callable[..., dict[str, Any]]) -> None:
    job = build(RunSpec.from_flags(settings({"plan.new": "L2(0.1) + L1(1e-3)"})))
    row = rows(job.leash, torch.optim.SGD(job.model.parameters(), lr=0.1))[0]
    assert (row.penalty, row.strength) == ("L2(0.1) + L1(0.001)", None)

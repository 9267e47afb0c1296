import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tether import RunSpec, fit
from tether.engine import preview as module
from tether.engine.build import build
from tether.engine.optimise import rate
from tether.engine.preview import preview, total_pull

Settings = Callable[..., dict[str, Any]]


def spec(settings: Settings, source: Path, **changes: Any) -> RunSpec:
    return RunSpec.from_flags(settings({"source.path": str(source), "source.exclude": ["head.*"], **changes}))


def said(text: str) -> dict[str, float]:
    """Percent of total pull by reference."""
    return {where: float(share) for where, share in re.findall(r"total pull toward (\w+) .*: (\S+) % over", text)}


def test_every_parameter_has_a_row(settings: Settings, source_run: Path) -> None:
    changes = {"plan.preset": "l2_sp", "plan.args": {"alpha": 0.5}, "plan.overrides": {"conv1.*": "none"}}
    found = {row.name: row for row in preview(spec(settings, source_run, **changes)).rows}
    assert len(found) == 10
    held, free, new = found["conv2.weight"], found["conv1.bias"], found["head.weight"]
    assert (held.fate, held.penalty, held.reference, held.strength) == ("transferred", "L2(0.5)", "source", 0.5)
    assert (free.fate, free.penalty, free.reference, free.strength) == ("transferred", "–", "–", None)
    assert (new.fate, new.reference, new.strength, new.shape) == ("new", "zero", 0.01, (3, 64))
    assert held.lr == 3e-4


def test_the_total_pull_by_prox_under_sgd_is_its_closed_form(settings: Settings, source_run: Path) -> None:
    changes = {"optimizer.name": "sgd", "plan.preset": "l2_sp", "plan.args": {"alpha": 3.0, "beta": 1.0}}
    found = said(str(preview(spec(settings, source_run, **changes, **{"plan.via": "prox"}))))
    for where, strength in (("source", 3.0), ("zero", 1.0)):
        left = math.prod(1 / (1 + 0.003 * rate(t, 9, 0.1) / (1 - 0.9) * strength) for t in range(9))
        assert found[where] == pytest.approx(100 * (1 - left), rel=1e-2)  # three digits are printed


def test_the_total_pull_is_what_a_displacement_without_gradient_loses(settings: Settings, source_run: Path) -> None:
    from tether.engine.optimise import make_optimizer, make_schedule

    wanted = spec(settings, source_run, **{"plan.preset": "l2_sp", "plan.args": {"alpha": 20.0}, "plan.via": "prox"})
    job = build(wanted)
    weight, reference = job.model.get_parameter("embed.weight"), job.leash.anchor.references["embed.weight"]
    with torch.no_grad():
        weight.add_(1.0)
    optimizer = make_optimizer(job.spec.optimizer, job.model)
    schedule = make_schedule(job.spec.optimizer, optimizer, 9)
    job.leash.attach(optimizer)
    for _ in range(9):
        for p in job.model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        schedule.step()
    lost = 100 * (1 - float((weight.detach() - reference).mean()))
    assert said(str(preview(wanted)))["source"] == pytest.approx(lost, rel=1e-2)


@pytest.mark.parametrize(
    ("alpha", "warning"), [(0.1, "under 5 %, so this penalty does next to nothing"), (1e6, "over 99 %"), (100.0, "")]
)
def test_a_pull_that_does_nothing_or_everything_is_warned_of(
    settings: Settings, source_run: Path, alpha: float, warning: str
) -> None:
    plan = {"plan.transferred": f"L2({alpha})", "plan.via": "prox"}
    text = str(preview(spec(settings, source_run, **plan)))
    assert text.count("warning:") == bool(warning)
    assert warning in text


def test_under_adam_a_coupled_pull_has_no_total_and_it_says_why(settings: Settings, source_run: Path) -> None:
    text = str(preview(spec(settings, source_run)))
    assert not said(text)
    assert "total pull: Adam divides a coupled pull by the size of the gradients" in text


@pytest.mark.parametrize(("steps", "lr", "share"), [(60, 3e-4, 0.09), (300, 1e-3, 1.5)])
def test_l2_sp_at_a_tenth_by_prox_under_adamw_does_next_to_nothing(steps: int, lr: float, share: float) -> None:
    # 60 steps at 3e-4 are the photos' default; 1.5 % is what 300 steps at AdamW's usual rate amount to
    pull = total_pull([lr * rate(t, steps, 0.1) for t in range(steps)], 0.1)
    assert 100 * pull == pytest.approx(share, rel=0.1)


def test_in_the_optimisers_metric_there_is_no_total_either(settings: Settings, source_run: Path) -> None:
    plan = {"plan.transferred": "L2(0.1)", "plan.metric": "optimizer"}
    text = str(preview(spec(settings, source_run, **plan)))
    assert not said(text)
    assert "by prox in the optimiser's metric" in text


def test_a_schedule_is_in_the_total(settings: Settings, source_run: Path) -> None:
    whole, falling = (
        said(str(preview(spec(settings, source_run, **{"plan.transferred": text, "plan.via": "prox"}))))["source"]
        for text in ("L2(100)", 'L2(100).toward("source", Cosine(5))')
    )
    assert 0 < falling < 0.9 * whole


def test_nothing_held_has_no_total(settings: Settings, source_run: Path) -> None:
    assert "total pull" not in str(preview(spec(settings, source_run, **{"plan.preset": "none"})))


def test_nothing_is_trained_or_written(
    settings: Settings, resnet_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = {"model.name": "cifar-resnet20", "batchnorm": "update", "source.path": str(resnet_run)}
    wanted, jobs = RunSpec.from_flags(settings(changes)), []
    monkeypatch.setattr(module, "build", lambda spec, **how: jobs.append(build(spec, **how)) or jobs[-1])
    preview(wanted)
    fresh = build(wanted).model.state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in jobs[0].model.state_dict().items())
    assert not list(tmp_path.iterdir())


def test_a_preview_leaves_the_run_after_it_as_it_was(settings: Settings, resnet_run: Path, tmp_path: Path) -> None:
    changes = {"model.name": "cifar-resnet20", "source.path": str(resnet_run), "train.epochs": 1}
    wanted = RunSpec.from_flags(settings(changes))
    fit(wanted, tmp_path / "before")
    preview(wanted)
    fit(wanted, tmp_path / "after")
    before, after = (tmp_path / name / "model.safetensors" for name in ("before", "after"))
    assert before.read_bytes() == after.read_bytes()


def test_what_fit_refuses_is_refused(settings: Settings, source_run: Path) -> None:
    from tether.errors import PullBelowPrecision

    with pytest.raises(PullBelowPrecision):
        preview(spec(settings, source_run, **{"plan.transferred": "L2(1e-12)"}))


def test_memory_is_counted_in_values(settings: Settings, source_run: Path) -> None:
    text = str(preview(spec(settings, source_run)))
    values = sum(p.numel() for p in build(spec(settings, source_run)).model.parameters())
    size = f"{4 * values / 1e6:.1f} MB"
    assert f"weights {size}, gradients {size}, optimiser {8 * values / 1e6:.1f} MB" in text
    assert "batchnorm: source" in text


def test_references_take_memory_where_they_are_not_mapped_from_a_file(
    settings: Settings, source_run: Path, tmp_path: Path
) -> None:
    tensors = load_file(source_run / "model.safetensors")
    torch.save(tensors, tmp_path / "source.pt")
    half = {"preprocessing.mean": (0.5,), "preprocessing.std": (0.5,)}
    body = sum(4 * value.numel() for name, value in tensors.items() if not name.startswith("head."))
    assert "references 0.0 MB" in str(preview(spec(settings, source_run)))
    assert f"references {body / 1e6:.1f} MB" in str(preview(spec(settings, tmp_path / "source.pt", **half)))
    assert body > 100_000


def test_a_preview_without_a_source_says_so(settings: Settings) -> None:
    assert "no source: every parameter is new" in str(preview(RunSpec.from_flags(settings())))

"""`fit` against loops written by hand, and against what a pull does in closed form."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional

from tether import RunSpec, fit
from tether.engine.build import build
from tether.engine.optimise import rate

Tuned = Callable[..., RunSpec]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def hand_written(
    spec: RunSpec, decay: tuple[float, float] | None = None, *, alpha: float = 0.0, beta: float = 0.0
) -> dict[str, torch.Tensor]:
    """What `fit` should do, written anew without a tether: one group, or Adam with a decay for new and for old.

    With `alpha` or `beta`, α·(w − source) is added to the old gradients and β·w to the new: L2-SP.
    """
    job = build(spec)
    named = dict(job.model.named_parameters())
    new = [p for name, p in named.items() if name.startswith("head.")]
    old = [p for name, p in named.items() if not name.startswith("head.")]
    lr, total = job.spec.optimizer.lr, spec.train.epochs * 3
    if decay is None:
        optimizer: torch.optim.Optimizer = torch.optim.AdamW([*old, *new], lr=lr, weight_decay=0.0, fused=True)
    else:
        groups = [{"params": new, "weight_decay": decay[0]}, {"params": old, "weight_decay": decay[1]}]
        optimizer = torch.optim.Adam(groups, lr=lr, fused=True)
    start = [p.detach().clone() for p in old]
    step = 0
    for epoch in range(spec.train.epochs):
        job.train_mode()
        for pictures, labels in job.task.batches(epoch):
            for group in optimizer.param_groups:
                group["lr"] = lr * rate(step, total, 0.1)
            optimizer.zero_grad()
            functional.cross_entropy(job.model(pictures), labels).backward()
            for p, source in zip(old, start, strict=True):
                p.grad += alpha * (p.detach() - source)
            for p in new:
                p.grad += beta * p.detach()
            optimizer.step()
            step += 1
    assert step == total
    return {name: p.detach() for name, p in named.items()}


def test_a_plain_fit_is_a_hand_written_loop(tuned: Tuned, tmp_path: Path) -> None:
    spec = tuned({"plan.preset": "none"})
    record = fit(spec, tmp_path / "run")
    found, expected = weights(tmp_path / "run"), hand_written(spec)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (record.outcome["steps"], record.outcome["steps_acted"]) == (9, 0)


def test_differential_l2_is_adam_with_two_decays(tuned: Tuned, tmp_path: Path) -> None:
    # AdamW without a decay of its own is Adam, and a coupled pull toward zero is Adam's `weight_decay`, bit for bit.
    spec = tuned({"plan.preset": "differential_l2", "plan.scale": 1000.0})
    record = fit(spec, tmp_path / "run")
    found, expected, plain = weights(tmp_path / "run"), hand_written(spec, (1e-1, 1e-2)), hand_written(spec)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not torch.equal(found["conv1.weight"], plain["conv1.weight"])
    assert (record.outcome["steps"], record.outcome["steps_acted"]) == (9, 9)
    assert "the penalty acted on 9 of 9 steps" in (tmp_path / "run/tether.txt").read_text()


def test_l2_sp_is_its_gradient_added_by_hand(tuned: Tuned, tmp_path: Path) -> None:
    spec = tuned({"plan.preset": "l2_sp", "plan.args": {"alpha": 2.0, "beta": 0.5}})
    fit(spec, tmp_path / "run")
    found, expected = weights(tmp_path / "run"), hand_written(spec, alpha=2.0, beta=0.5)
    plain = hand_written(spec)
    # strengths that are powers of two multiply without rounding, so there is one way to round and the bits are equal
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert all(float((found[name] - plain[name]).abs().max()) > 1e-3 for name in expected)


def test_a_huge_alpha_by_prox_keeps_the_source(tuned: Tuned, source_run: Path, tmp_path: Path) -> None:
    free, held = (
        fit(tuned({"plan.preset": "l2_sp", "plan.via": "prox", **plan}), tmp_path / name)
        for name, plan in (("free", {"plan.args": {"alpha": 0.0}}), ("held", {"plan.args": {"alpha": 1e9}}))
    )
    source, found = weights(source_run), weights(tmp_path / "held")
    for name in source:
        if not name.startswith("head."):
            # by how much a step of 3e-3 moves, over 1 + η·α = 3e6, and one rounding of float32
            torch.testing.assert_close(found[name], source[name], rtol=2e-7, atol=1e-8)
    assert held.outcome["displacement"] < 1e-5 < 0.1 < free.outcome["displacement"]


def test_a_pull_too_small_for_a_step_is_delivered_before_the_epoch_is_kept(
    tuned: Tuned, source_run: Path, tmp_path: Path
) -> None:
    strength, lr = 5e-3, 3e-3  # needs five such steps to act, and there are three
    one = {"train.epochs": 1, "optimizer.lr": lr}
    fit(tuned(one | {"plan.preset": "none"}), tmp_path / "plain")
    fit(tuned(one | {"plan.transferred": f"L2({strength})"}), tmp_path / "held")
    source, plain, held = (weights(path) for path in (source_run, tmp_path / "plain", tmp_path / "held"))
    shrink = 1 / (1 + strength * lr * sum(rate(step, 3, 0.1) for step in range(3)))
    for name in plain.keys() - {"head.weight", "head.bias"}:
        expected = source[name].double() + shrink * (plain[name].double() - source[name].double())
        # one rounding of a float32; of those below 1/2 by the larger of theirs
        torch.testing.assert_close(held[name].double(), expected, rtol=6e-8, atol=1.5e-8)
        assert float((held[name] - plain[name]).abs().max()) > 5e-8

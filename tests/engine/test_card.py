from collections.abc import Callable
from pathlib import Path
from typing import Any

from tether import RunSpec, fit


def test_the_card_says_what_is_known(
    settings: Callable[..., dict[str, Any]], stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = {"source.path": str(source_run), "source.data": str(stripes()), "probe": True}
    record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    text = (tmp_path / "run/README.md").read_text()
    outcome = record.outcome
    assert f"from `{source_run}`" in text
    assert "| classes | `a`, `b`, `c` |" in text
    assert f"| test accuracy | {outcome['test']['accuracy']:.4f} on 12 pictures" in text
    assert f"| linear probe on the source's features | {outcome['probe']['accuracy']:.4f} |" in text
    assert f"| {outcome['retention']['kept']:.4f}; the source itself {outcome['retention']['source']:.4f} |" in text
    assert (tmp_path / "run/tether.txt").read_text() in text
    assert "the penalty acted on 9 of 9 steps" in text
    assert all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))


def test_the_card_leaves_out_what_was_not_measured(source_run: Path) -> None:
    text = (source_run / "README.md").read_text()
    assert "Trained from scratch" in text
    for absent in ("probe", "source task", "None"):
        assert absent not in text

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_rel

from tether.demo.result import METHODS, Demo, Outcome, difference, draw, mean_and_error

TARGET = {
    "scratch": [0.50, 0.52, 0.51],
    "linear probe": [0.70, 0.71, 0.72],
    "plain": [0.80, 0.83, 0.81],
    "differential_l2": [0.80, 0.83, 0.82],
    "l2_sp": [0.79, 0.84, 0.81],
}
KEPT = {
    "linear probe": [0.98, 0.98, 0.98],
    "plain": [0.93, 0.92, 0.94],
    "differential_l2": [0.93, 0.92, 0.94],
    "l2_sp": [0.96, 0.96, 0.97],
}


def made_up(target: dict[str, list[float]] = TARGET, kept: dict[str, list[float]] = KEPT) -> Demo:
    outcomes = [
        Outcome(
            method,
            seed,
            target[method][seed],
            kept[method][seed] if method in kept else None,
            1.5 if method in kept else None,
        )
        for method in METHODS
        for seed in (2, 0, 1)
    ]
    return Demo(tuple(outcomes), {"plain": 0.003, "scratch": 0.01}, 0.98, "made up", Path())


def test_the_table_has_a_row_a_method_with_mean_and_standard_error() -> None:
    lines = str(made_up()).splitlines()
    assert lines[0] == ("made up; mean ± standard error of 3 seeds; the source itself is right on 0.980 of its digits")
    row = next(line for line in lines if line.startswith("plain"))
    error = np.std(TARGET["plain"], ddof=1) / 3**0.5
    assert " ".join(row.split()) == f"plain 0.003 0.813 ± {error:.3f} 0.930 ± 0.006 1.50 ± 0.00"
    assert next(line for line in lines if line.startswith("scratch")).split()[-2:] == ["–", "–"]


def test_the_sentence_says_what_can_be_told_from_chance() -> None:
    said = made_up().sentence()
    assert said.startswith("Fine-tuning differs from scratch by +30.3 [")
    gain, differential, source = said.split("; ")[:3]
    assert "no more than chance" not in gain
    assert differential.startswith(
        "differential_l2 from plain by no more than chance, +0.3 [-1.1, +1.8], on the target"
    )
    assert differential.endswith("and no more than chance, +0.0 [+0.0, +0.0], on what is kept")
    assert "l2_sp from plain by no more than chance" in source
    assert "and +3.3 [+1.9, +4.8] on what is kept" in source
    assert said.endswith("95 % intervals over 3 seeds, on these test digits).")


def test_the_sentence_does_not_take_sides() -> None:
    turned = TARGET | {"plain": TARGET["scratch"], "scratch": TARGET["plain"]}
    said = made_up(turned).sentence()
    assert said.startswith("Fine-tuning differs from scratch by -30.3 [")


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_what_a_paired_t_test_cannot_reject(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(0.01, 0.01, 5), rng.normal(0, 0.01, 5)
    assert difference(ours, theirs).startswith("no more than chance") == (ttest_rel(ours, theirs).pvalue >= 0.05)


def test_the_pairs_are_by_seed() -> None:
    demo = made_up()
    np.testing.assert_array_equal(demo.column("plain", "target"), TARGET["plain"])


def test_what_was_not_measured_is_a_dash() -> None:
    assert mean_and_error(np.array([])) == "–"
    assert mean_and_error(np.array([np.nan, np.nan])) == "–"


def test_the_picture_is_one(tmp_path: Path) -> None:
    draw(made_up(), tmp_path / "demo.png")
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.size == (975, 650)
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 10

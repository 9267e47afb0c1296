"""`tether study` reads its words, refuses what is wrong before anything runs, and leaves a report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether.cli.study import _seeds

Tether = Callable[..., Any]
TINY = ["--source-data", "digits", "--no-baselines", "--seeds", "2", "--jobs", "1", "--quiet"]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [0, 1, 2]), ("4,", [4]), ("3,5,8", [3, 5, 8]), ("1", [0]), ("0,", [0])]
)
def test_seeds_are_a_number_of_them_or_which(text: str, seeds: list[int]) -> None:
    assert list(_seeds(text)) == seeds


WRONG = {
    "no folder": ([], "a study needs a folder", "--out runs/study"),
    "a plan that is none": (["--vary", "plan=l2_spp"], "no preset is named `l2_spp`", "did you mean `l2_sp`?"),
    "an axis twice": (["--vary", "plan=l2", "--vary", "plan=none"], "`--vary plan` is given twice", "once"),
    "a range twice": (["--search", "plan.scale=1..2", "--search", "plan.scale=1..3"], "is given twice", "once"),
    "no equals sign": (["--vary", "plan"], "has no `=`", "--vary plan=none,l2,l2_sp"),
    "seeds in words": (["--seeds", "ten"], "`--seeds ten` is not a whole number", "--seeds 10"),
    "no seed": (["--seeds", "0"], "`--seeds` is 0", "--seeds 1"),
    "a seed twice": (["--seeds", "1,1"], "the seed 1 is there twice", "leave one"),
    "no job": (["--jobs", "0"], "`--jobs` is 0", "--jobs 1"),
    "shares in words": (["--fractions", "a,b"], "`--fractions a,b` is no list of numbers", "--fractions 0.05"),
    "a share above one": (["--fractions", "2"], "`--vary data.fraction` is 2", ""),
    "both ways to draw": (["--fractions", "0.5", "--per-class", "3"], "exclude each other", "leave out one"),
    "a range that is none": (["--search", "plan.scale=1"], "is not KEY=LOW..HIGH", "plan.scale=0.01..100"),
    "no trial": (["--trials", "0"], "`--trials` is 0", "--trials 1"),
}


@pytest.mark.parametrize(("words", "what", "fix"), WRONG.values(), ids=WRONG)
def test_a_wrong_word_is_refused_and_nothing_is_left(
    tether: Tether, tmp_path: Path, words: list[str], what: str, fix: str
) -> None:
    place = [] if "needs a folder" in what else ["--out", tmp_path / "study"]
    done = tether("study", "--model", "digits-cnn", "--data", "digits", "--source", "mnist", *words, *place)
    assert done.code == 2
    assert what in done.err
    assert fix in done.err.splitlines()[-1]
    assert done.out == ""
    assert not (tmp_path / "study").exists()

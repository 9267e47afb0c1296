"""`tether study` reads its words, refuses what is wrong before anything runs, and leaves a report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.here import Log, done_in, made_here
from tether.cli.study import _seeds

Tether = Callable[..., Any]


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


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Make all runs in this process, and log them."""
    return made_here(monkeypatch)


@pytest.fixture
def from_source(small: list[str], source_run: Path, stripes: Callable[..., Path]) -> list[str]:
    """Flags of a study of two seeds without baselines, from the small source, with pictures enough for a test."""
    settled = ["--source", str(source_run), "--lr", "0.003", "--seeds", "2", "--no-baselines"]
    return [str(stripes(count=24)) if one == str(stripes()) else one for one in small] + settled


def test_a_study_leaves_ordinary_runs_and_a_report(
    tether: Tether, from_source: list[str], tmp_path: Path, here: Log, stripes: Callable[..., Path]
) -> None:
    words = ["study", *from_source, "--vary", "plan=none,l2_sp", "--out", tmp_path / "study"]
    done = tether(*words)
    assert done.code == 0
    assert [line.split(" · ")[0] for line in done.err.splitlines()] == ["1/4", "2/4", "3/4", "4/4"]
    written = [line.removeprefix("written: ") for line in done.out.splitlines() if line.startswith("written: ")]
    assert {Path(path).name for path in written} >= {"report.html", "report.md", "result.json"}
    assert all(Path(path).exists() for path in written)
    for run in done_in(tmp_path / "study"):
        accuracy = json.loads((run / "outcome.json").read_text())["test"]["accuracy"]
        measured = tether("evaluate", run)
        assert measured.code == 0
        assert f"{accuracy:.3f}" in measured.out
    picture = stripes() / "a" / "00.png"
    predicted = tether("predict", done_in(tmp_path / "study")[0], picture)
    assert (predicted.code, str(picture) in predicted.out) == (0, True)
    here.clear()
    again = tether(*words)
    assert (again.code, again.out, again.err, here) == (0, done.out, "", [])
    more = tether(*words, "--seeds", "3", "--quiet")
    assert (more.code, more.err, [what for _, what in here]) == (0, "", ["fresh"] * 2)


def test_where_a_run_fails_the_others_are_compared_and_the_exit_code_is_4(
    tether: Tether, from_source: list[str], tmp_path: Path, here: Log
) -> None:
    done = tether("study", *from_source, "--vary", "optimizer.lr=0.003,1e30", "--out", tmp_path / "study")
    assert done.code == 4
    assert [what for _, what in here] == ["fresh", "error"] * 2
    assert sum(" · failed: " in line for line in done.err.splitlines()) == 2
    assert "2 runs failed" in done.out
    assert len(done_in(tmp_path / "study")) == 2
    assert (tmp_path / "study" / "report.html").exists()


def test_a_plan_says_how_many_runs_and_how_long_and_leaves_nothing(
    tether: Tether, from_source: list[str], tmp_path: Path, here: Log
) -> None:
    done = tether("study", *from_source, "--vary", "plan=none,l2", "--plan-only", "--out", tmp_path / "study")
    assert (done.code, done.err, here, [*tmp_path.iterdir()]) == (0, "", [], [])
    assert "2 configurations × 2 seeds = 4 runs" in done.out
    assert "4 runs to make: about " in done.out

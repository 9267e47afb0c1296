"""Progress, by hand."""

import pytest

from tether.study.progress import Progress, duration


def test_time_left_is_what_was_estimated_for_the_rest_corrected_by_how_the_others_kept_to_theirs() -> None:
    progress = Progress(total=4, jobs=2, left=40.0)
    assert progress.seconds_left == 20  # 40 s of work for two
    progress.end("l2", estimate=10, seconds=30, accuracy=None)
    assert progress.seconds_left == 45  # 30 s left, three times as long, for two
    progress.end("l2", estimate=10, seconds=10, accuracy=None)
    assert progress.seconds_left == 20  # 20 s left, 40 s for 20 s, for two
    progress.end("l2", estimate=10, seconds=None, accuracy=None)  # of no time of its own
    assert progress.seconds_left == 10


def test_without_estimates_nothing_is_left_and_nothing_fails() -> None:
    progress = Progress(total=2, jobs=1, left=0.0)
    progress.end("l2", estimate=0.0, seconds=3.0, accuracy=None)
    assert progress.seconds_left == 0


def test_the_best_is_of_those_with_the_most_runs() -> None:
    progress = Progress(total=9, jobs=1, left=9.0)
    assert progress.best == ""
    for name, accuracy in (("l2", 0.5), ("l2", 0.7), ("l2_sp", 0.9), ("none", None)):
        progress.end(name, estimate=1, seconds=1, accuracy=accuracy)
    assert progress.best == "best on validation so far: l2 0.600 (2 runs)"
    progress.end("l2_sp", estimate=1, seconds=1, accuracy=0.4)
    assert progress.best == "best on validation so far: l2_sp 0.650 (2 runs)"


def test_the_best_is_of_the_condition_that_a_run_has_ended_in() -> None:
    progress = Progress(total=4, jobs=1, left=4.0)
    progress.end("l2", estimate=1.0, seconds=1.0, accuracy=0.9, within="5 a class")
    progress.end("l2_sp", estimate=1.0, seconds=1.0, accuracy=0.5, within="2 a class")
    assert progress.best == "best on validation so far: l2_sp 0.500 (1 run)"


def test_a_line_says_how_many_what_how_long_and_the_best() -> None:
    progress = Progress(total=12, jobs=1, left=240.0)
    progress.end("l2", estimate=20, seconds=20, accuracy=0.5)
    assert progress.line("l2 · seed 0") == (
        " 1/12 · l2 · seed 0 · about 4 min left · best on validation so far: l2 0.500 (1 run)"
    )


def test_the_last_line_says_so() -> None:
    progress = Progress(total=1, jobs=1, left=5.0)
    progress.end("none", estimate=5, seconds=5, accuracy=None)
    assert progress.line("none · seed 0") == "1/1 · none · seed 0 · the last"


def test_a_name_stays_in_its_line() -> None:
    progress = Progress(total=1, jobs=1, left=5.0)
    progress.end("a\nb\x1b[2J", estimate=5, seconds=5, accuracy=0.5)
    assert progress.best == r"best on validation so far: a\nb\x1b[2J 0.500 (1 run)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1 h 30 min"), (86400, "24 h 0 min")],
)
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert duration(seconds) == words

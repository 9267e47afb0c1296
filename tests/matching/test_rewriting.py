import re
import signal
import threading

import pytest

from tether.errors import MatchError
from tether.matching import rename
from tether.matching.rename import pair_names
from tether.matching.rewriting import TooSlow, rewritten

SLOW = r"^(([a-z]|_)+)+$"
NAME = "a" * 60 + "!"


@pytest.mark.parametrize(("pattern", "replacement"), [("a(.)", r"\1\1"), ("^", "x."), ("[[a]", ""), ("(?i)A", "b")])
def test_it_is_what_pythons_own_substitution_gives(pattern: str, replacement: str) -> None:
    names = ["ab", "ba.a", ""]
    with pytest.warns(FutureWarning) if "[[" in pattern else _nothing():
        expected = [re.sub(pattern, replacement, name) for name in names]
    re.purge()
    assert rewritten(pattern, replacement, names) == expected


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


def test_one_that_backtracks_without_end_is_stopped_and_the_signal_is_as_it_was() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(TooSlow):
        rewritten(SLOW, "", [NAME], seconds=0.1)
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_timer_of_someone_elses_is_left_alone() -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 100)
    try:
        assert rewritten("a", "b", ["a"]) == ["b"]
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 90
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def test_another_thread_is_not_bounded_and_works() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(rewritten("a", "b", ["a"])))
    thread.start()
    thread.join()
    assert found == ["b"]


def test_a_rule_that_is_too_slow_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rename, "rewritten", lambda *given: rewritten(*given, seconds=0.1))
    with pytest.raises(MatchError, match="takes too long on the source's names") as refusal:
        pair_names([NAME], ["a"], [(SLOW, "")])
    assert "repeats what repeats" in refusal.value.why and refusal.value.fix

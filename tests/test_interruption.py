import os
import signal
import threading

import pytest

from tether.errors import Interrupted
from tether.interruption import SIGNALS, Interruption


@pytest.mark.parametrize("number", SIGNALS)
def test_before_there_is_something_to_save_a_signal_stops_where_it_arrives(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="before a step was made; nothing was changed") as stopped, Interruption():
        os.kill(os.getpid(), number)
    assert stopped.value.exit_code == 128 + number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", SIGNALS)
def test_afterwards_it_is_noted(number: int) -> None:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with Interruption() as interruption:
        interruption.defer()
        assert interruption.asked == 0
        os.kill(os.getpid(), number)
        assert interruption.asked == number
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


@pytest.mark.parametrize(("shared", "code"), [(False, -signal.SIGINT), (True, 0)])
def test_a_second_interrupt_ends_the_process_at_once(shared: bool, code: int) -> None:
    """Unless others are sent the same signals, where the second may be the first once more."""
    child = os.fork()
    if child == 0:
        with Interruption(shared=shared) as interruption:
            interruption.defer()
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_leaves_signals_alone() -> None:
    found = []

    def enter() -> None:
        with Interruption():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_loop_over_runs_does_not_go_on_to_the_next() -> None:
    with pytest.raises(Interrupted):
        for _ in range(2):
            try:
                raise Interrupted(signal.SIGINT, "stopped")
            except Exception:  # noqa: BLE001 - what a user's loop may have
                pass

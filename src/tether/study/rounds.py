"""Rounds: all searches of a study side by side, so that every process has a run to make."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from math import ceil

from tether.errors import SettingsError
from tether.escaping import terminal
from tether.study.configuration import Configuration
from tether.study.found import Found, Searched, tuned
from tether.study.journal import opened
from tether.study.progress import duration
from tether.study.runner import Run, Runner
from tether.study.search import Search, trial_seeds

PAUSE = 1.0  # seconds, while other machines make the runs that are left


def search_all(
    searched: Searched, seeds: Sequence[int], *, trials: int, runner: Runner, told: Callable[[str], None]
) -> dict[str, Found]:
    """Search every configuration, and return what was found by its digest.

    A round is one run of each trial that is under way, as many of every search, at least one for each process. The
    trials are in a journal, so that a search that was cut goes on, and other machines may take part.

    Args:
        runner: that has checked all of the configurations.
        told: gets a line for each trial that ends.

    Raises:
        MissingExtra: Optuna is not installed.
        DataError: the journal cannot be read.
        MachineError: the disk failed.
        Interrupted: a signal asked to stop; the state of each run is saved.
    """
    with opened(runner.place) as journal:
        searches = [Search(one, ranges, seeds, trials=trials, journal=journal) for one, ranges in searched]
        rounds = Rounds(searches, replace(runner, told=_silent), told)
        while rounds.left:
            rounds.make()
        found = {search.one.digest: search.found() for search in searches}
    for one, _ in searched:
        told(f"chosen of {_trials(found[one.digest])}: {terminal(tuned(one, found[one.digest].settings).name)}")
    return found


class Rounds:
    """Searches that are made together.

    Args:
        runner: that has checked all of the configurations.
        told: gets a line for each trial that ends.
    """

    def __init__(self, searches: Sequence[Search], runner: Runner, told: Callable[[str], None]) -> None:
        self.searches, self.runner, self.told = searches, runner, told
        self._expected, self._taken = 0.0, 0.0

    @property
    def left(self) -> list[Search]:
        """Those that are not over."""
        return [search for search in self.searches if not search.is_over]

    def make(self) -> None:
        """Make one round."""
        left = self.left
        for search in left:
            search.fill(ceil(self.runner.crew.jobs / len(left)))
            for flight in search.flights:
                self.runner.take_for(flight.one, search.one)
        due = list({one.folder(seed): (one, seed) for one, seed in chain(*(each.due() for each in left))}.values())
        there = {one.folder(seed): "done" for one, seed in due if self.runner.place.is_done(one.folder(seed))}
        started = time.monotonic()
        came = self.runner.make((one, seed) for one, seed in due if one.folder(seed) not in there)
        self._measure(came["done"], time.monotonic() - started)
        ended = there | {one.folder(seed): what for what, runs in came.items() for one, seed in runs}
        for search in left:
            search.take(ended, self.runner.place, self._tell)
        if not {"done", "failed"} & set(ended.values()):
            time.sleep(PAUSE)

    def _measure(self, done: Sequence[Run], seconds: float) -> None:
        """Learn how long runs take beside what was estimated."""
        self._taken += seconds * self.runner.crew.jobs
        self._expected += sum(self.runner.estimate(one) for one, _ in done)

    def _tell(self, one: Configuration, came: str) -> None:
        made = sum(min(search.ended, search.trials) for search in self.searches)
        total = sum(search.trials for search in self.searches)
        runs = sum((each.trials - each.ended) * len(each.seeds) * self.runner.estimate(each.one) for each in self.left)
        seconds = runs * (self._taken / self._expected if self._expected else 1.0) / self.runner.crew.jobs
        left = f"{duration(seconds)} left at most" if made < total else "the last"
        self.told(f"{made:>{len(str(total))}}/{total} trials · {terminal(one.name)} · {terminal(came)} · {left}")


def told_before(searched: Searched, seeds: Sequence[int], trials: int, runner: Runner) -> list[str]:
    """What searches take at most, beside the runs of the configurations that they find; nothing where there are none.

    Args:
        runner: that has checked the configurations.
    """
    if not searched:
        return []
    each = (trials - 1) * len(trial_seeds(seeds))
    seconds = sum(runner.estimate(one) * each for one, _ in searched) / runner.crew.jobs
    what = ", ".join(dict.fromkeys(terminal(str(one)) for _, used in searched for one in used))
    names = ", ".join(terminal(one.name) for one, _ in searched)
    return [
        f"searched {what}: {trials:,} trials each of {names}",
        f"at most {each * len(searched):,} runs more: about {duration(seconds)}",
    ]


def refuse_unvalidated(searched: Searched, runner: Runner) -> None:
    """Refuse a search by validation pictures that there are none of.

    Args:
        runner: that has checked the configurations.

    Raises:
        SettingsError: see above.
    """
    without = next((one for one, _ in searched if not runner.validated[one.digest]), None)
    if without is not None:
        raise SettingsError(
            f"`{terminal(without.name)}` has no validation pictures, and a search chooses by them",
            why="none are put aside where `data.validation` is 0, nor, unless it is given, below 10 training a class",
            fix="--validation 0.2",
        )


def _trials(found: Found) -> str:
    """How many there were, and of them how many were given up or failed."""
    parts = {"pruned": found.pruned, "failed": found.failed}
    return ", ".join([f"{found.made} trials", *(f"{count} {what}" for what, count in parts.items() if count)])


def _silent(line: str) -> None:
    """A trial is told when it has ended, not each of its runs."""

"""A stand-in for the crew of a search, which trains nothing: its runs end at once, as well as they are told to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tether.errors import Interrupted
from tether.files import write_durably, write_manifest
from tether.record import RunRecord
from tether.spec import RunSpec
from tether.study.configuration import Configuration
from tether.study.grid import Grid, grid
from tether.study.place import Place
from tether.study.rounds import Rounds
from tether.study.runner import Run, Runner
from tether.study.search import Search
from tether.study.space import of_use, ranges

Accuracy = Callable[[RunSpec], float | None]
SEARCH = {"plan.scale": (0.01, 100.0)}


class Killed(BaseException):
    """What stands for the end of a process."""


class StandIn:
    """Answers tasks one by one; the accuracy of a run is a function of its spec, and one that has none diverges.

    Args:
        nll: by spec; 1 where it is not given.
        held: folders of runs that another process makes.
        stops: how many runs it makes before a signal arrives.
    """

    def __init__(
        self,
        accuracy: Accuracy,
        *,
        jobs: int = 1,
        nll: Callable[[RunSpec], float | None] = lambda spec: 1.0,
        held: set[str] | None = None,
        stops: int | None = None,
        validated: int = 9,
    ) -> None:
        self.accuracy, self.nll, self.jobs, self.validated = accuracy, nll, jobs, validated
        self.held, self.stops = held or set(), stops
        self.made: list[RunSpec] = []
        self.checked: list[RunSpec] = []
        self.rounds: list[int] = []

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def answers(self, tasks: Iterator[tuple[Run, Any]]) -> Iterator[tuple[Run, dict[str, Any]]]:
        given = list(tasks)
        if given and given[0][1]["do"] == "fit":
            self.rounds.append(len(given))
        for run, task in given:
            yield run, self._answer(RunSpec.parse(task["spec"]), task)

    def _answer(self, spec: RunSpec, task: Any) -> dict[str, Any]:
        if task["do"] == "check":
            self.checked.append(spec)
            settled = {"preprocessing": {"size": 12, "channels": 1}, "threads": 1, "device": "cpu"}
            return {"settled": settled, "seconds": 2.0, "validated": self.validated}
        if self.stops is not None and len(self.made) >= self.stops:
            raise Interrupted(15, "the study is stopped")
        out = Path(task["out"])
        if out.name in self.held:
            return {"held": "another has it"}
        self.made.append(spec)
        accuracy = self.accuracy(spec)
        if accuracy is None:
            return {"error": "the loss is not finite", "why": "", "fix": "", "kind": "Diverged", "exit_code": 4}
        leave(out, spec, accuracy, self.nll(spec))
        return {"done": True, "fresh": True, "validation": accuracy, "seconds": 2.0}


def leave(out: Path, spec: RunSpec, accuracy: float | None, nll: float | None = 1.0) -> None:
    """Leave of a run what a search reads, with its rate settled as the engine does."""
    out.mkdir(parents=True)
    spec = spec.replace({"optimizer.lr": spec.optimizer.lr or 3e-4})
    validation = None if accuracy is None else {"accuracy": accuracy, "nll": nll}
    RunRecord(spec, {}, (), {"validation": validation}).write(out)
    write_durably(out / "spec.toml", spec.to_toml())
    write_manifest(out)


def configurations(vary: Any = None, *, baselines: bool = False, changes: Any = None) -> tuple[Configuration, ...]:
    settings = {"model.name": "digits-cnn", "data.path": "pictures", "source.path": "mnist", **(changes or {})}
    return grid(RunSpec.from_flags(settings), vary or {"plan": ["l2_sp"]}, range(3), baselines=baselines).configurations


@contextmanager
def rounds(
    folder: Path,
    crew: StandIn,
    *,
    of: tuple[Configuration, ...] | None = None,
    search: Any = None,
    seeds: int = 3,
    trials: int = 12,
    told: Callable[[str], None] = lambda line: None,
) -> Iterator[Rounds]:
    """The searches of a folder, as `search_all` makes them."""
    from tether.study.journal import opened

    place = Place(folder)
    place.make()
    asked = ranges(search or SEARCH, ())
    with opened(place) as journal:
        pairs = [(one, of_use(one, asked)) for one in of or configurations()]
        searches = [Search(one, used, range(seeds), trials=trials, journal=journal) for one, used in pairs if used]
        runner = Runner(place, crew, lambda line: None)  # type: ignore[arg-type]
        searched = tuple(search.one for search in searches)
        runner.check(Grid(searched, tuple(range(seeds)), {}, {}), searched)
        yield Rounds(searches, runner, told)


def finish(made: Rounds) -> SimpleNamespace:
    """Make all rounds; what was found, and the trials that the journal holds, by search."""
    while made.left:
        made.make()
    found = [search.found() for search in made.searches]
    return SimpleNamespace(found=found, best=found[0], trials=[search._study.trials for search in made.searches])

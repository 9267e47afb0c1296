"""Runner: makes the runs of a grid, each in its folder, whatever becomes of the others."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tether.errors import InputError, Interrupted, MachineError
from tether.escaping import terminal
from tether.spec import RunSpec
from tether.study.configuration import Configuration
from tether.study.crew import Answer, Crew, Task
from tether.study.grid import Grid
from tether.study.place import Place
from tether.study.progress import Progress

SPEED = ("threads", "device")
BUG = 1  # the exit code of what is nobody's input
Run = tuple[Configuration, int]


@dataclass
class Runner:
    """The runs of a study that these processes make; others may be at the same study.

    Args:
        told: gets a line for each run that ends.
        choices: what is chosen once for all runs, such as the device; what the first check settles where it is empty.
        validated: by digest, how many validation pictures each configuration has that was checked.
    """

    place: Place
    crew: Crew[Run]
    told: Callable[[str], None]
    choices: dict[str, Any] = field(default_factory=dict)
    _settled: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)
    validated: dict[str, int] = field(default_factory=dict)

    def check(self, grid: Grid, searched: Collection[Configuration] = ()) -> float:
        """Build every configuration that has runs to make, before the first of them; return their estimated seconds.

        Args:
            searched: those that trials are made of, and which are built though their own runs have ended.

        Raises:
            InputError: one of them cannot run; the first is told, and how many are.
            Interrupted: a signal asked a process to stop.
        """
        wanted = Counter(one.digest for one, _ in self.open(grid))
        needed = wanted.keys() | {one.digest for one in searched}
        unknown = [one for one in grid.configurations if one.digest in needed and one.digest not in self._settled]
        wrong: list[tuple[Configuration, Answer]] = []
        tasks = iter([((one, grid.seeds[0]), self._check(one, grid.seeds[0])) for one in unknown])
        for (one, _), answer in self.crew.answers(tasks):
            if "interrupted" in answer:
                raise Interrupted(
                    answer["interrupted"],
                    "a process of the study is stopped",
                    why="it was sent a signal of its own",
                    fix="give the same command again",
                )
            if "error" in answer:
                wrong.append((one, answer))
            else:
                self._settled[one.digest], self._seconds[one.digest] = answer["settled"], answer["seconds"]
                self.validated[one.digest] = answer["validated"]
        if wrong:
            raise _refused(wrong, grid)
        for settled in self._settled.values():
            self.choices |= {key: settled[key] for key in SPEED if key not in self.choices}
        return sum(self._seconds[digest] * count for digest, count in wanted.items())

    def open(self, grid: Grid) -> Iterator[Run]:
        """The runs that have not ended well, seed by seed."""
        return ((one, seed) for one, seed, _ in grid.runs() if not self.place.is_done(one.folder(seed)))

    def estimate(self, one: Configuration) -> float:
        """About how many seconds a run of a configuration takes; 0 where it was not checked."""
        return self._seconds.get(one.digest, 0.0)

    def take_for(self, one: Configuration, like: Configuration) -> None:
        """Take a configuration to settle as another, from which it differs in numbers of its training only."""
        if like.digest in self._settled:
            self._settled[one.digest] = self._settled[like.digest]
            self._seconds[one.digest] = self._seconds[like.digest]

    def make(self, runs: Iterable[Run]) -> dict[str, list[Run]]:
        """Make runs, or go on with them; return which are done, failed, held by other processes, or stopped.

        Raises:
            Interrupted: a signal asked to stop; the state of each run is saved.
            MachineError: the disk failed.
        """
        wanted = list(runs)
        estimates = [self.estimate(one) for one, _ in wanted]
        progress = Progress(len(wanted), self.crew.jobs, sum(estimates))
        ended: dict[str, list[Run]] = {"done": [], "failed": [], "held": [], "stopped": []}
        for run, answer in self.crew.answers((run, self._fit(run)) for run in wanted):
            what = self._end(run, answer)
            ended[what].append(run)
            one, seed = run
            progress.end(
                one.label,
                within=repr(one.condition),
                estimate=self.estimate(one),
                seconds=answer["seconds"] if answer.get("fresh") else None,
                accuracy=answer.get("validation"),
            )
            self.told(progress.line(f"{terminal(one.name)} · seed {seed}{_came(what, answer)}"))
        return ended

    def _end(self, run: Run, answer: Answer) -> str:
        name = run[0].folder(run[1])
        if "error" in answer:
            self.place.note_failure(name, answer)
            return "failed"
        if "done" in answer:
            self.place.forget_failure(name)
            return "done"
        return "held" if "held" in answer else "stopped"

    def _check(self, one: Configuration, seed: int) -> Task:
        like = one.source.model_dump(exclude_none=True) if one.source else None
        return {"do": "check", "spec": self._spec(one, seed).model_dump(exclude_none=True), "like": like}

    def _fit(self, run: Run) -> Task:
        one, seed = run
        return {
            "do": "fit",
            "spec": self._spec(one, seed).model_dump(exclude_none=True),
            "out": str(self.place.run(one.folder(seed))),
            "claims": str(self.place.claims),
            "shared": str(self.place.shared),
        }

    def _spec(self, one: Configuration, seed: int) -> RunSpec:
        """The spec of a run, with what is chosen once for all, and from scratch the source's preprocessing."""
        settled = self._settled.get(one.digest, {})
        prepared = {"preprocessing": settled["preprocessing"]} if one.source and settled else {}
        left = {key: value for key, value in self.choices.items() if getattr(one.spec, key) is None}
        return RunSpec.parse(one.at(seed).model_dump(exclude_none=True) | prepared | left)


def _came(what: str, answer: Answer) -> str:
    """What came of a run, where it did not end well."""
    told = {"done": "", "held": " · held by another process", "stopped": " · stopped, its state is saved"}
    return told.get(what, f" · failed: {terminal(answer.get('error', ''))}")


def _refused(wrong: list[tuple[Configuration, Answer]], grid: Grid) -> Exception:
    one, answer = wrong[0]
    others = f", nor can {len(wrong) - 1} more of {len(grid.configurations)}" if len(wrong) > 1 else ""
    what = f"`{terminal(one.name)}` cannot run{others}: {answer['error']}"
    if answer["exit_code"] == BUG:
        return RuntimeError(f"{what}\n{answer['why']}")
    if answer["exit_code"] == MachineError.exit_code:
        return MachineError(what, why=answer["why"], fix=answer["fix"])
    return InputError(what, why=answer["why"], fix=answer["fix"])

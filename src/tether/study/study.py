"""Study: what is compared, on what, and under which seeds."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tether.errors import DataError, Interrupted, SettingsError
from tether.escaping import terminal
from tether.files import write_durably
from tether.record import cores
from tether.spec import RunSpec
from tether.study.axis import axis_text
from tether.study.configuration import Configuration
from tether.study.crew import Crew
from tether.study.found import Found, all_found, found_before, tuned
from tether.study.grid import Grid, grid
from tether.study.journal import require_optuna
from tether.study.place import STUDY, Place
from tether.study.progress import duration
from tether.study.rounds import refuse_unvalidated, search_all, told_before
from tether.study.runner import Run, Runner
from tether.study.search import trial_seeds
from tether.study.space import Range, of_use, ranges, refuse_unused

if TYPE_CHECKING:
    from tether.study.comparison import Comparison

SPEC = "spec.toml"
FRACTION = "data.fraction"
HALF = 0.5
TRIALS = 20


@dataclass(frozen=True)
class Study:
    """Configurations of one spec, each under the same seeds, with the baselines beside them.

    Args:
        spec: what all have in common. Where `data.per_class` is given or varied and `data.test` is not, half of the
            pictures are for test, and every seed draws from the others.
        vary: values by dotted key; all their combinations are compared. `plan` takes presets as `--plan` does.
        seeds: of the training pictures, the new head, and the order; the test pictures are the same for all.
        points: settings by dotted key, each one more configuration.
        fractions: shares of the training pictures, each a condition of its own; short for varying `data.fraction`.
        baselines: whether scratch, a linear probe, plain fine-tuning, L2, the article's penalty, L2-SP and LP-FT are.
        search: the lowest and the highest value by dotted key, of settings that validation chooses for every
            configuration that has a use for them, baselines too.
        trials: how many a configuration is searched by, with its own values for the first.
        found: by digest, what was found for configurations before it was.

    Raises:
        SettingsError: see `tether.study.grid.grid` and `tether.study.space.ranges`; or there is no trial.

    >>> spec = RunSpec.from_flags({"model.name": "digits-cnn", "data.path": "digits", "source.path": "mnist"})
    >>> print(Study(spec, {"plan.scale": [1, 10]}, seeds=range(3), baselines=False).grid)
    2 configurations × 3 seeds = 6 runs
      varied    l2_sp
      varied    l2_sp · plan.scale 10
    """

    spec: RunSpec
    vary: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seeds: Iterable[int] = range(10)
    points: Sequence[Mapping[str, Any]] = ()
    fractions: Sequence[float] = ()
    baselines: bool = True
    search: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    trials: int = TRIALS
    found: Mapping[str, Found] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", _with_test(self.spec, [self.vary, *self.points]))
        object.__setattr__(self, "seeds", self.grid.seeds)
        _refuse_trials(self.trials)
        _ = self.searched

    @cached_property
    def grid(self) -> Grid:
        """Every configuration with what a search has found for it, and its seeds."""
        found = (self.found.get(one.digest) for one in self.untuned.configurations)
        pairs = zip(self.untuned.configurations, found, strict=True)
        made = (tuned(one, each.settings, trials=each.made) if each else one for one, each in pairs)
        return replace(self.untuned, configurations=tuple(made))

    @cached_property
    def searched(self) -> tuple[tuple[Configuration, tuple[Range, ...]], ...]:
        """The configurations that are searched, as they are before, and by what."""
        varied = {*self.vary, *(key for point in self.points for key in point)}
        asked = ranges(self.search, varied)
        pairs = [(one, of_use(one, asked)) for one in self.untuned.configurations]
        refuse_unused(asked, {each.key for _, used in pairs for each in used})
        return tuple((one, used) for one, used in pairs if used)

    @cached_property
    def untuned(self) -> Grid:
        """Every configuration as it is before a search, and its seeds."""
        if self.fractions and FRACTION in self.vary:
            raise SettingsError(
                f"`fractions` and the axis `{FRACTION}` set the same",
                why="which of them is meant is not for Tether to guess",
                fix="leave out one of them",
            )
        vary = {**self.vary, **({FRACTION: list(self.fractions)} if self.fractions else {})}
        return grid(self.spec, vary, self.seeds, points=self.points, baselines=self.baselines)

    def plan(self, out: Path | str | None = None, *, jobs: int | None = None) -> str:
        """How many runs there are and about how long they take, in words; nothing is written.

        Args:
            out: the study's folder, of which the runs that have ended are left out.

        Raises:
            TetherError: a configuration cannot run.
        """
        place = Place(Path(out) if out is not None else Path())
        study = replace(self, found=self._known(place))
        with Crew[Run](_jobs(jobs)) as crew:
            runner = Runner(place, crew, _silent, self._choices(place))
            seconds = runner.check(study.grid, [one for one, _ in study.unfound])
            refuse_unvalidated(study.unfound, runner)
            left = sum(1 for _ in runner.open(study.grid))
            crew.jobs = _jobs(jobs, runner.choices.get("device"))
            at_once = f"{crew.jobs} at once" if crew.jobs > 1 else "one after another"
        done = sum(1 for _ in study.grid.runs()) - left
        ended = f" ({done:,} have ended already)" if done else ""
        made = f"{left:,} runs to make{ended}: about {duration(seconds / crew.jobs)} here, {at_once}"
        searches = told_before(study.unfound, study.untuned.seeds, self.trials, runner)
        return "\n".join([str(study.grid), made, *searches])

    def run(
        self, out: Path | str, *, jobs: int | None = None, told: Callable[[str], None] | None = None
    ) -> "Comparison":
        """Make every run that has not ended, each in a folder of its own in `out/runs`, and compare them.

        What has ended is not made again, what was cut goes on, and what fails is shown and leaves the others alone. So
        the same call goes on with a study, on one machine or on several that share the folder; with more seeds or
        configurations it makes those too.

        Args:
            jobs: processes of one thread each; as many as there are cores when not given, and one on an accelerator.
            told: gets a line for each run that ends.

        Raises:
            TetherError: a configuration cannot run, and no run was made; or the disk failed.
            Interrupted: a signal asked to stop; the state of each run is saved.
        """
        from tether.study.gather import read_study

        place = Place(Path(out))
        place.refuse_foreign()
        study = replace(self, found=self._known(place))
        if study.unfound:
            require_optuna()
        try:
            with Crew[Run](_jobs(jobs)) as crew:
                runner = Runner(place, crew, told or _silent, self._choices(place))
                runner.check(study.grid, [one for one, _ in study.unfound])
                refuse_unvalidated(study.unfound, runner)
                study.write(place, runner.choices)
                crew.jobs = _jobs(jobs, runner.choices.get("device"))
                if study.unfound:
                    study = study._after_search(runner)
                    study.write(place, runner.choices)
                runner.make(runner.open(study.grid))
        except Interrupted as stopped:
            left = sum(1 for _ in runner.open(study.grid))
            searching = " and the search not over" if study.unfound else ""
            raise Interrupted(
                stopped.exit_code - 128,
                f"{stopped.what}, with {left:,} of {sum(1 for _ in study.grid.runs()):,} runs left{searching}",
                why="what has ended is whole, and what was under way has saved its state",
                fix="give the same command again",
            ) from None
        return read_study(place.folder)

    @property
    def unfound(self) -> tuple[tuple[Configuration, tuple[Range, ...]], ...]:
        """The searched configurations that nothing has been found for."""
        return tuple((one, used) for one, used in self.searched if one.digest not in self.found)

    def _after_search(self, runner: Runner) -> Self:
        found = search_all(self.unfound, self.untuned.seeds, trials=self.trials, runner=runner, told=runner.told)
        study = replace(self, found={**self.found, **found})
        runner.check(study.grid)
        return study

    def _known(self, place: Place) -> dict[str, Found]:
        return found_before(place, self.searched, trial_seeds(self.untuned.seeds), self.trials)

    def write(self, place: Place, choices: Mapping[str, Any]) -> None:
        """Write what the study is into its folder, so that it can be read without being run."""
        place.make()
        write_durably(place.folder / SPEC, self.spec.to_toml())
        place.write(
            {
                "spec": self.spec.model_dump(exclude_none=True),
                "vary": {key: list(values) for key, values in self.vary.items()},
                "seeds": list(self.seeds),
                "points": [dict(point) for point in self.points],
                "fractions": list(self.fractions),
                "baselines": self.baselines,
                "search": {key: list(ends) for key, ends in self.search.items()},
                "trials": self.trials,
                "found": {digest: found.to_json() for digest, found in self.found.items()},
                "choices": dict(choices),
            }
        )

    @classmethod
    def read(cls, place: Place) -> Self:
        """The study of a folder.

        Raises:
            DataError: there is none, or `study.json` cannot be read.
        """
        found = place.read()
        if found is None:
            raise DataError(
                f"no study is in `{place.folder}`", why=f"it would hold `{STUDY}`", fix="give the --out of a study"
            )
        try:
            return cls(
                RunSpec.parse(found["spec"], origin=f"`{place.folder / STUDY}`"),
                dict(found["vary"]),
                seeds=tuple(found["seeds"]),
                points=tuple(found["points"]),
                fractions=tuple(found["fractions"]),
                baselines=bool(found["baselines"]),
                search={key: (low, high) for key, (low, high) in found.get("search", {}).items()},
                trials=found.get("trials", TRIALS),
                found=all_found(found),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"`{place.folder / STUDY}` is no study: {type(error).__name__}: {error}",
                why="it says what is compared",
                fix="give the command of the study again, which writes it anew and keeps the runs",
            ) from None

    def command(self, folder: Path) -> str:
        """The command that makes this study again, as far as the command line has words for it."""
        words = ["tether", "study", str(folder / SPEC)]
        for key, values in self.vary.items():
            words += ["--vary", axis_text(key, values)]
        seeds = tuple(self.seeds)
        is_counted = seeds == tuple(range(len(seeds)))
        words += ["--seeds", str(len(seeds)) if is_counted else ",".join(map(str, seeds)) + ","]
        words += ["--fractions", ",".join(f"{share:g}" for share in self.fractions)] if self.fractions else []
        words += [] if self.baselines else ["--no-baselines"]
        for one in dict.fromkeys(each for _, used in self.searched for each in used):
            words += ["--search", str(one)]
        words += ["--trials", str(self.trials)] if self.search else []
        return shlex.join([*words, "--out", str(folder)])

    def _choices(self, place: Place) -> dict[str, Any]:
        """What is chosen once for all runs: the device as an earlier call has it, and one thread a process."""
        device = place.choices().get("device")
        return {"threads": self.spec.threads or 1} | ({"device": device} if isinstance(device, str) else {})


def _with_test(spec: RunSpec, settings: Sequence[Mapping[str, Any]]) -> RunSpec:
    """Hold half of the pictures out where so many a class are drawn and `data.test` is not given.

    A single run tests on all that it does not draw, but seeds of one study draw from one pool and share their test.
    """
    data = spec.data
    is_drawn = data.per_class is not None or any("data.per_class" in one for one in settings)
    # beside `per_class` a share means nothing without `test_seed`, and is what a run has written for a default
    is_given = "test" in data.model_fields_set and (data.per_class is None or data.test_seed is not None)
    if not is_drawn or is_given:
        return spec
    return spec.replace({"data.test": HALF, "data.test_seed": spec.data.test_seed or 0})


def _refuse_trials(trials: Any) -> None:
    if type(trials) is not int or trials < 1:
        raise SettingsError(
            f"a search has {terminal(repr(trials))} trials",
            why="there is one at least, which is the configuration as it is",
            fix=f"--trials {TRIALS}",
        )


def _jobs(asked: int | None, device: str | None = None) -> int:
    return asked or (1 if device == "cuda" else cores())


def _silent(line: str) -> None:
    """Nobody listens."""

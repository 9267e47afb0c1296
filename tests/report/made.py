"""Comparisons as a study would give them, from drawn answers and the real intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tether.study.comparison import (
    Candidate,
    Comparison,
    Contrast,
    Drift,
    Group,
    Method,
    Metrics,
    Reliability,
    RunResult,
    Sweep,
)
from tether.study.intervals import Interval, on_test_set
from tether.study.multiple import Verdict, verdicts
from tether.study.pairs import by_item
from tether.study.power import items_needed, seeds_needed
from tether.study.spread import Spread
from tether.study.told import notes, summary

PER_CLASS = (5, 20, 50)
LAYERS = ("conv1", "conv2", "conv3", "fc1")
MEASURE = "accuracy on the source task, by the source's head"


@dataclass(frozen=True)
class Recipe:
    """A candidate: its method, settings, strength and reference, how good it is, and what is varied beside its plan."""

    name: str
    method: str
    gain: float
    kept: float | None
    strength: float | None = None
    reference: str | None = None
    moved: float = 0.05
    epochs: int = 30
    beside: Mapping[str, Any] = field(default_factory=dict)


def recipes() -> list[Recipe]:
    found = [
        Recipe("scratch", "scratch", -0.14, None, moved=0),
        Recipe("linear probe", "linear probe", -0.05, 0.985, moved=0, epochs=0),
        Recipe("none", "none", 0.0, 0.86, moved=0.12),
        Recipe("lp-ft", "lp-ft", 0.012, 0.9, moved=0.08),
    ]
    for method, reference, base in (("l2", "zero", 1e-4), ("differential_l2", "zero", 1e-5), ("l2_sp", "source", 0.1)):
        for step, scale in enumerate((1, 10, 100)):
            held = 0.03 * step if reference == "source" else -0.02 * step**2
            gain = (0.008 - 0.022 * (step - 1)) if reference == "source" else -0.012 * step**2
            name = method if scale == 1 else f"{method} · plan.scale {scale}"
            found.append(Recipe(name, method, gain, 0.865 + held, base * scale, reference, 0.1 / (1 + 3 * step)))
    return found


def recipes_beside(key: str, values: Sequence[Any]) -> list[Recipe]:
    """Those of a study that varies a setting beside the plan."""
    return [
        replace(one, name=f"{one.name} · {key} {value}", gain=one.gain - 0.02 * place, beside={key: value})
        for place, value in enumerate(values)
        for one in recipes()
    ]


def made(
    *,
    per_class: Sequence[int] = PER_CLASS,
    seeds: int = 10,
    items: int = 200,
    classes: Sequence[str] = tuple("0123456789"),
    validated: bool = True,
    retained: bool = True,
    title: str = "digits-cnn: mnist → digits",
    layers: Sequence[str] = LAYERS,
    tried: Sequence[Recipe] | None = None,
    broken: Mapping[tuple[str, int], str] | None = None,
    condition: str = "data.per_class",
) -> Comparison:
    """A study with these groups; `broken` says of which runs there is an error, or, where it is empty, no end."""
    rng = np.random.default_rng(0)
    tried, broken = recipes() if tried is None else tried, broken or {}
    built = [
        _Built(rng, count, classes, range(seeds), items, tried, broken, layers, validated, retained)
        for count in per_class
    ]
    pairs = [(b, one.name) for b in built for one in b.methods if one.name != "none" and b.is_comparable(one.name)]
    told = iter(_verdicts(pairs, "none"))
    groups = []
    for count, b in zip(per_class, built, strict=True):
        own = [b.contrast(name, "none", next(told)) for other, name in pairs if other is b]
        settings = {condition: count} if len(per_class) > 1 else {}
        groups.append(b.group(" · ".join(f"{key} {value}" for key, value in settings.items()), settings, own))
    runs = [run for _, run in _runs(groups)]
    found = Comparison(
        title=title,
        against="none",
        level=0.95,
        seeds=tuple(range(seeds)),
        spec='seed = 0\n\n[model]\nname = "digits-cnn"\n\n[data]\npath = "digits"\nper_class = 5\n',
        command="tether study spec.toml --vary plan.scale=1,10,100 --seeds 10 --out runs/study",
        environments=({"tether": "0.1.0", "python": "3.11.7", "torch": "2.15.0", "threads": 1, "device": "cpu"},),
        data={group.name: "5f1d" * 16 for group in groups},
        groups=tuple(groups),
        summary=(),
        notes=(),
        failed=tuple((one.name, run.seed, run.error) for one, run in _runs(groups) if run.error),
        missing=sum(run.status == "missing" for run in runs),
        seconds=float(sum(run.outcome.get("seconds", 0) for run in runs)),
    )
    return replace(found, summary=summary(found), notes=notes(found))


def _runs(groups: Sequence[Group]) -> list[tuple[Candidate, RunResult]]:
    return [(one, run) for group in groups for one in group.candidates for run in one.runs]


class _Built:
    def __init__(
        self,
        rng: np.random.Generator,
        count: int,
        classes: Sequence[str],
        seeds: Sequence[int],
        items: int,
        tried: Sequence[Recipe],
        broken: Mapping[tuple[str, int], str],
        layers: Sequence[str],
        validated: bool,
        retained: bool,
    ) -> None:
        self.count, self.classes, self.seeds, self.broken = count, tuple(classes), tuple(seeds), broken
        self.tried, self.validated, self.retained, self.layers = tried, validated, retained, layers
        self.rng, self.items = rng, items
        hard, drawn = rng.normal(0, 1.4, items), rng.normal(0, 0.15, len(seeds))
        self.right = {
            one.name: _answers(rng, self._base + one.gain * (1.6 - 0.2 * math.log(count)), hard, drawn) for one in tried
        }
        self.candidates = {one.name: self._candidate(one) for one in tried}

    @property
    def _base(self) -> float:
        return 0.78 + 0.045 * math.log(self.count / 5 + 1e-9)

    @property
    def methods(self) -> tuple[Method, ...]:
        names = dict.fromkeys(one.method for one in self.tried)
        if not self.validated:
            return tuple(Method(one.name, one.name, (one.name,)) for one in self.tried)
        return tuple(self._method(name) for name in names)

    def _method(self, name: str) -> Method:
        own = [one for one in self.candidates.values() if one.method == name]
        best = max(own, key=lambda one: one.validation or (0, 0))
        return Method(name, best.name, tuple(one.name for one in own))

    def scored(self, method: str) -> np.ndarray:
        return self.right[next(one.chosen for one in self.methods if one.name == method)]

    def is_comparable(self, method: str) -> bool:
        return len(self.seeds) > 1 and "none" in self._named and bool(self._done(method))

    @property
    def _named(self) -> set[str]:
        return {one.name for one in self.methods}

    def _done(self, method: str) -> tuple[RunResult, ...]:
        return self.candidates[next(one.chosen for one in self.methods if one.name == method)].done

    def contrast(self, ours: str, theirs: str, verdict: Verdict) -> Contrast:
        mine, other = self._done(ours), self._done(theirs)
        both = [(one, two) for one in mine for two in other if one.seed == two.seed]
        differences = {}
        if len(both) > 1:
            for name in ("accuracy", "balanced", "f1", "nll", "brier", "ece"):
                differences[name] = on_test_set([o.test[name] for o, _ in both], [t.test[name] for _, t in both])
            if all(o.kept is not None and t.kept is not None for o, t in both):
                differences["kept"] = on_test_set([o.kept for o, _ in both], [t.kept for _, t in both])
        spread = Spread.of(by_item(self.scored(ours), self.scored(theirs)))
        is_open = not verdict.interval.beyond_noise and spread.variance > 0
        seeds = seeds_needed(spread, 0.01, items=spread.items) if is_open else None
        items = items_needed(spread, 0.01, seeds=spread.seeds) if is_open else None
        return Contrast(ours, theirs, verdict, differences, seeds, items)

    def group(self, name: str, settings: Mapping[str, Any], contrasts: Sequence[Contrast]) -> Group:
        transfer = None
        has_both = {"none", "scratch"} <= self._named
        if has_both and len(self.seeds) > 1 and self._done("none") and self._done("scratch"):
            transfer = self.contrast("none", "scratch", _verdicts([(self, "none")], "scratch")[0])
        return Group(
            name=name,
            settings=settings,
            counts={"train": self.count * len(self.classes), "validation": 50, "test": self.items},
            overlap=0.12,
            chosen_by="validation"
            if self.validated
            else "nothing: without validation pictures every configuration stands for itself",
            measure=MEASURE if self.retained else "",
            classes=self.classes,
            candidates=tuple(self.candidates.values()),
            methods=self.methods,
            contrasts=tuple(contrasts),
            transfer=transfer,
            sweeps=tuple(self._sweeps()),
        )

    def _sweeps(self) -> list[Sweep]:
        found = []
        for method in dict.fromkeys(one.method for one in self.tried if one.strength is not None):
            for plain in (one for one in self.tried if one.method == "none"):
                own = [one for one in self.tried if one.method == method and one.beside == plain.beside]
                if len(own) > 1 and len(self.seeds) > 1:
                    found.append(self._sweep(own, plain))
        return found

    def _sweep(self, own: Sequence[Recipe], plain: Recipe) -> Sweep:
        told = verdicts([(one.name, plain.name, self.right[one.name], self.right[plain.name]) for one in own])
        names, matters = tuple(one.name for one in own), any(one.winner for one in told)
        return Sweep(own[0].method, own[0].reference or "", names, told, matters, plain.beside)

    def _candidate(self, one: Recipe) -> Candidate:
        runs = tuple(self._run(one, place, seed) for place, seed in enumerate(self.seeds))
        done = [run for run in runs if run.status == "done"]
        kept = [run.kept for run in done if run.kept is not None]
        return Candidate(
            name=one.name,
            method=one.method,
            role="baseline" if one.strength is None else "varied",
            settings=one.beside,
            runs=runs,
            strength=one.strength,
            reference=one.reference,
            means={name: mean([run.test[name] for run in done]) for name in (done[0].test if done else ())},
            validation=(mean([run.validation["accuracy"] for run in done]).estimate, 0.4)
            if self.validated and done
            else None,
            kept=mean(kept) if kept else None,
            history=tuple(self._epoch(one, epoch) for epoch in range(1, one.epochs + 1)) if done else (),
            drift=tuple(self._drift(one, place) for place in range(len(self.layers)))
            if done and one.name != "scratch"
            else (),
            outputs={"agreement": 0.9 - one.moved, "kl": 3 * one.moved, "features": 2 * one.moved}
            if done and one.kept
            else {},
            reliability=self._reliability(one) if done else None,
            confusion=self._confusion(one) if done else (),
            seconds=12.0 if done else 0.0,
        )

    def _run(self, one: Recipe, place: int, seed: int) -> RunResult:
        folder = Path("runs") / f"{one.method.replace(' ', '-')}-{abs(hash_of(one.name)):08x}-{self.count}-seed-{seed}"
        if (one.name, seed) in self.broken:
            error = self.broken[one.name, seed]
            return RunResult(seed, folder, "failed" if error else "missing", error)
        accuracy = float(self.right[one.name][place].mean())
        kept = None
        if self.retained and one.kept is not None:
            kept = min(1.0, one.kept + float(self.rng.normal(0, 0.008)) + 0.01 * math.log(self.count / 20))
        return RunResult(
            seed,
            folder,
            "done",
            test=scores(accuracy),
            validation={"accuracy": min(1.0, accuracy + 0.01), "nll": 0.4} if self.validated else {},
            kept=kept,
            outcome={"seconds": 12.0},
        )

    def _epoch(self, one: Recipe, epoch: int) -> dict[str, float]:
        top = float(self.right[one.name].mean())
        risen = 1 - math.exp(-epoch / 6)
        row = {"epoch": float(epoch), "loss": 0.15 + 1.4 * (1 - risen) + abs(one.gain), "train_accuracy": risen}
        return row | (
            {"validation_accuracy": 0.4 + (top - 0.4) * risen, "validation_nll": 1.0} if self.validated else {}
        )

    def _drift(self, one: Recipe, place: int) -> Drift:
        moved = one.moved * (0.4 + 0.5 * place)
        return Drift(self.layers[place], 4 * moved, moved, 9 * moved)

    def _reliability(self, one: Recipe) -> Reliability:
        middles = [(number + 0.5) / 15 for number in range(15)]
        right = [max(0.0, middle - 0.14 * middle * (1 - one.moved)) for middle in middles]
        return Reliability(tuple(int(1 + 3 * 1.32**number) for number in range(15)), tuple(middles), tuple(right))

    def _confusion(self, one: Recipe) -> tuple[tuple[int, ...], ...]:
        total, many = self.items * len(self.seeds) // len(self.classes), len(self.classes)
        found = np.zeros((many, many), dtype=int)
        for truth in range(many):
            share = np.full(many, 0.012)
            share[(truth + 3) % many] += 0.05
            share[truth] = 6 * float(self.right[one.name].mean())
            found[truth] = self.rng.multinomial(total, share / share.sum())
        return tuple(tuple(int(value) for value in row) for row in found)


def _answers(rng: np.random.Generator, accuracy: float, hard: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    edge = np.quantile(hard, min(max(accuracy, 0.02), 0.98))
    noise = rng.normal(0, 0.35, (len(drawn), len(hard)))
    return (hard[None, :] + noise < edge + drawn[:, None]).astype(float)


def _verdicts(pairs: Sequence[tuple[_Built, str]], theirs: str) -> tuple[Verdict, ...]:
    return verdicts([(name, theirs, built.scored(name), built.scored(theirs)) for built, name in pairs])


def scores(accuracy: float) -> Metrics:
    return {
        "accuracy": accuracy,
        "balanced": accuracy - 0.002,
        "f1": accuracy - 0.004,
        "nll": 2.6 * (1 - accuracy),
        "brier": 1.3 * (1 - accuracy),
        "ece": 0.03 + 0.1 * (1 - accuracy),
    }


def mean(values: Sequence[float]) -> Interval:
    if len(values) > 1:
        return on_test_set(values, [0.0] * len(values))
    return Interval(values[0], values[0], values[0], 0.0, "on this test set", "one seed", 1, None, 1.0)


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode("utf-8", "surrogatepass")[-4:].rjust(4, b"0"), "big") ^ len(name) << 8

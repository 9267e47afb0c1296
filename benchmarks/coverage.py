"""How often each interval of a study holds the truth, by simulation: `python benchmarks/coverage.py`.

Writes benchmarks/reports/coverage.md. What an interval should hold is known exactly: the mean over other seeds on the
same items (on this test set), over other seeds and items (on new data), or over other draws of the data (on new draws).
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import brentq
from scipy.special import expit, stdtrit
from scipy.stats import bootstrap

from tether.study.bootstrap import two_way_bootstrap
from tether.study.intervals import Interval, on_new_data, on_new_draws, on_test_set
from tether.study.multiple import holm
from tether.study.spread import Spread

REPORT = Path(__file__).parent / "reports" / "coverage.md"
SEEDS, ITEMS, DIFFERENCES = (3, 5, 10, 30), (50, 200, 1000), (0.0, 0.02)
TABLES, RESAMPLED, RESAMPLES = 3000, 500, 500
Pair = tuple[np.ndarray, np.ndarray]
World = Callable[[np.random.Generator, int, int, float], Pair]


def normal(seed: float, item: float, rest: float) -> World:
    """Normal effects of the seed, of the item and of both together, with these standard deviations."""

    def draw(rng: np.random.Generator, seeds: int, items: int, difference: float) -> Pair:
        found = difference + rng.normal(0, seed, (seeds, 1)) + rng.normal(0, item, items)
        return found + rng.normal(0, rest, (seeds, items)), np.zeros((seeds, items))

    return draw


def answers(level: float, difficulty: float, method: float, seed: float) -> World:
    """Right or wrong answers: logits of a level, the item, the item for the method, and the seed for the method."""
    spread = float(np.sqrt(difficulty**2 + method**2 + seed**2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)

    def accuracy(logit: float) -> float:
        return float((expit(logit + spread * nodes) * weights).sum() / weights.sum())

    def draw(rng: np.random.Generator, seeds: int, items: int, difference: float) -> Pair:
        better = level
        if difference:
            better = brentq(lambda logit: accuracy(logit) - accuracy(level) - difference, level, level + 20)
        shared = rng.normal(0, difficulty, items)
        ours, theirs = (
            logit + shared + rng.normal(0, method, items) + rng.normal(0, seed, (seeds, 1)) for logit in (better, level)
        )
        return rng.random((seeds, items)) < expit(ours), rng.random((seeds, items)) < expit(theirs)

    return draw


WORLDS: dict[str, World] = {
    "normal, seeds .02, items .1, both .3": normal(0.02, 0.1, 0.3),
    "normal, seeds .004, items .2, both .3": normal(0.004, 0.2, 0.3),
    "answers, 81 % right, seeds .15": answers(2.0, 1.5, 0.5, 0.15),
    "answers, 81 % right, seeds .5": answers(2.0, 1.5, 0.5, 0.5),
    "answers, 96 % right, seeds .15": answers(4.0, 1.5, 0.3, 0.15),
}


def reach(variance: float, freedom: float) -> float:
    return float(stdtrit(freedom, 0.975)) * variance**0.5


def candidates(pair: Pair, resampled: bool) -> dict[str, Interval | tuple[float, float]]:
    """Every way to an interval on new data."""
    differences = pair[0].astype(float) - pair[1]
    spread, middle, cells = Spread.of(differences), differences.mean(), differences.size
    if not differences.any():
        nothing = on_new_data(*pair)
        found = dict.fromkeys(NAMES[1:5], (nothing.low, nothing.high)) | {NAMES[0]: nothing}
    else:
        seed, item, rest = spread.seed, spread.item, spread.rest
        free = [spread.seeds - 1, spread.items - 1, (spread.seeds - 1) * (spread.items - 1)]
        noise = seed**2 / free[0] + item**2 / free[1]
        plain = max(seed + item - rest, 1e-12)
        halves = [
            reach(plain / cells, max(plain**2 / (noise + rest**2 / free[2]), 1)),
            reach((seed + item) / cells, (seed + item) ** 2 / noise),
            reach(seed / cells, free[0]),
            reach(item / cells, free[1]),
        ]
        found = {name: (middle - half, middle + half) for name, half in zip(NAMES[1:5], halves, strict=True)}
        found[NAMES[0]] = on_new_data(*pair)
    if resampled:
        found[NAMES[5]] = two_way_bootstrap(*pair, resamples=RESAMPLES)
    return found


NAMES = (
    "crossed t",
    "the same, no floor",
    "sum of both",
    "seeds alone",
    "items alone",
    "two-way bootstrap",
)


def new_data(cell: tuple[str, int, int, float]) -> list[str]:
    """A row: how often each interval holds the difference on new data, in per cent."""
    world, seeds, items, difference = cell
    rng = np.random.default_rng([list(WORLDS).index(world), seeds, items, round(1000 * difference)])
    held: dict[str, list[bool]] = {name: [] for name in NAMES}
    width = []
    for number in range(TABLES):
        found = candidates(WORLDS[world](rng, seeds, items, difference), number < RESAMPLED)
        for name, one in found.items():
            low, high = (one.low, one.high) if isinstance(one, Interval) else one
            held[name].append(low <= difference <= high)
        width.append(100 * (found[NAMES[0]].high - found[NAMES[0]].low) / 2)
    return [
        str(seeds),
        str(items),
        f"{100 * difference:g}",
        *(per_cent(held[name]) for name in NAMES),
        f"{np.median(width):.1f}",
    ]


def test_set(cell: tuple[str, int]) -> list[str]:
    """A row: Student's t and BCa over the seeds, about the mean over other seeds on the same items, and on new data."""
    world, seeds = cell
    rng = np.random.default_rng([17, seeds, len(world)])
    truth, rows = 0.02, rng.normal(0.02, 0.03, (TABLES, seeds))
    if world == "answers":
        chance = rng.uniform(0.3, 1, (2, 200))
        truth = float((chance[0] - chance[1]).mean())
        drawn = (rng.random((seeds, 200)) < chance[:, None] for _ in range(TABLES))
        rows = np.array([(ours.mean(1) - theirs.mean(1)) for ours, theirs in drawn])
    found = [on_test_set(row, np.zeros(seeds)) for row in rows]
    some = rows[:RESAMPLED]
    rng = np.random.default_rng(0)
    bca = bootstrap((some,), np.mean, axis=1, n_resamples=RESAMPLES * 2, method="BCa", rng=rng, batch=50)
    ends = bca.confidence_interval
    t = per_cent([one.low <= truth <= one.high for one in found])
    return [world, str(seeds), t, per_cent((ends.low <= truth) & (truth <= ends.high))]


def draws(cell: tuple[int, int, int]) -> list[str]:
    """A row: two learners of a mean, trained and tested on splits of one set of numbers that is drawn anew each time.

    One predicts the training mean, the other half of it, and a score is minus the squared error. With y of mean m and
    variance 1 the true difference is E(y − x̄/2)² − E(y − x̄)² = m²/4 − 3/(4·train).
    """
    train, test, count = cell
    rng, mean = np.random.default_rng([5, train, test, count]), 0.3
    truth = mean**2 / 4 - 0.75 / train
    plain, corrected = [], []
    for _ in range(TABLES):
        pool = rng.normal(mean, 1, train + test)
        ours, theirs = np.empty(count), np.empty(count)
        for number in range(count):
            order = rng.permutation(pool)
            learnt, asked = order[:train].mean(), order[train:]
            ours[number], theirs[number] = -((asked - learnt) ** 2).mean(), -((asked - learnt / 2) ** 2).mean()
        plain.append(on_test_set(ours, theirs))
        corrected.append(on_new_draws(ours, theirs, train=train, test=test))
    held = [per_cent([one.low <= truth <= one.high for one in found]) for found in (plain, corrected)]
    return [str(train), str(test), str(count), *held]


def together(effects: tuple[float, ...]) -> list[str]:
    """A row: several methods against one, and how often all the intervals hold all the truths."""
    rng, seeds, items, tables = np.random.default_rng([6, len(effects)]), 10, 200, TABLES // 2
    count = len(effects)
    each, bonferroni, stepped, false = [], [], [], []
    for _ in range(tables):
        base = rng.normal(0, 0.2, (seeds, items)) + rng.normal(0, 0.02, (seeds, 1)) + rng.normal(0, 0.2, items)
        pairs = [(normal(0.02, 0.2, 0.2)(rng, seeds, items, effect)[0], base) for effect in effects]
        p = [on_new_data(*pair).p for pair in pairs]
        rank = np.argsort(np.argsort(p))
        each.append(all_hold(pairs, effects, [0.95] * count))
        bonferroni.append(all_hold(pairs, effects, [1 - 0.05 / count] * count))
        stepped.append(all_hold(pairs, effects, [1 - 0.05 / (count - place) for place in rank]))
        false.append(not any(one < 0.05 and not effect for one, effect in zip(holm(p), effects, strict=True)))
    told = ", ".join(f"{100 * effect:g}" for effect in effects)
    return [told, per_cent(each), per_cent(bonferroni), per_cent(stepped), per_cent(false)]


def all_hold(pairs: Sequence[Pair], truths: Sequence[float], levels: Sequence[float]) -> bool:
    found = [on_new_data(*pair, level=level) for pair, level in zip(pairs, levels, strict=True)]
    return all(one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True))


def per_cent(held: Sequence[bool] | np.ndarray) -> str:
    return f"{100 * np.mean(held):.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(cells: Sequence[tuple[str, int, int, float]], rows: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The lowest and the highest coverage of each interval, over all cells and by the number of seeds."""
    for seeds in (None, *SEEDS):
        chosen = [row for cell, row in zip(cells, rows, strict=True) if seeds in (None, cell[1])]
        figures = np.array([[float(value) for value in row[3 : 3 + len(NAMES)]] for row in chosen])
        ends = zip(figures.min(0), np.median(figures, axis=0), figures.max(0), strict=True)
        yield [str(seeds or "all"), *(f"{low:.1f} – {middle:.1f} – {high:.1f}" for low, middle, high in ends)]


def standard_error(studies: int) -> float:
    return float(100 * (0.95 * 0.05 / studies) ** 0.5)


def conditions() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return (
        f"Per cent of simulated studies whose 95 % interval holds the truth, each of {TABLES:,} studies (their own "
        f"standard error: {standard_error(TABLES):.1f} at 95 %); of the two bootstraps {RESAMPLED:,} ({RESAMPLES} "
        f"resamples, BCa {2 * RESAMPLES}; standard error {standard_error(RESAMPLED):.1f}). NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, Python {sys.version.split()[0]}; commit {asked.stdout.strip() or 'none'}; written "
        f"by `python benchmarks/coverage.py`."
    )


TOLD = """\
`crossed t` is `on_new_data`: the variance is MS_seed + MS_item − MS_rest, of the mean squares of seeds, items and the
rest, never below MS_seed or MS_item, with Satterthwaite's degrees of freedom. `the same, no floor` leaves the floor
out; `sum of both` is MS_seed + MS_item. `seeds alone` is `on_test_set`, asked what it does not answer; `items alone`
takes the seeds as fixed. Half: the median half width of the crossed t, in points. Standard deviations of the normal
worlds are of scores between 0 and 1; of the answers, of logits (items 1.5 shared; .5, or .3 at 96 %, a method)."""


def main() -> None:
    cells = list(product(WORLDS, SEEDS, ITEMS, DIFFERENCES))
    splits = [(90, 10, 10), (90, 10, 30), (80, 20, 10), (50, 50, 10), (450, 50, 10)]
    effects = [(0.0,) * 3, (0.0, 0.0, 0.2), (0.0, 0.2, 0.2), (0.2,) * 3, (0.2,) * 6]
    with ProcessPoolExecutor(2) as pool:
        parts = [
            pool.map(test_set, product(("normal", "answers"), SEEDS)),
            pool.map(draws, splits),
            pool.map(together, effects),
            pool.map(new_data, cells),
        ]
        on_set, drawn, joint, crossed = (list(part) for part in parts)
    head = ["seeds", "items", "difference", *NAMES, "half"]
    text = [f"# {__doc__.splitlines()[0].partition(':')[0]}", conditions()]
    text += ["## On this test set", table(["scores", "seeds", "Student's t", "BCa"], on_set)]
    text += ["## On new data, lowest – median – highest of all cells", TOLD]
    text += [table(["seeds", *NAMES], list(summary(cells, crossed)))]
    text += [
        "## On new draws, of one set of data that is split again",
        " ".join(draws.__doc__.split("\n\n")[1].split()),
    ]
    text += [table(["train", "test", "draws", "Student's t", "corrected resampled t"], drawn)]
    text += ["## Several comparisons with one method, 10 seeds, 200 items: how often all the truths are held"]
    joint_head = [
        "true differences, points",
        "each at 95 %",
        "Bonferroni (`compare`)",
        "each at Holm's level",
        "Holm's test errs nowhere",
    ]
    text += [table(joint_head, joint)]
    for world in WORLDS:
        rows = [row for cell, row in zip(cells, crossed, strict=True) if cell[0] == world]
        text += [f"## On new data: {world}", table(head, rows)]
    REPORT.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print("\n\n".join(text[:14]))


if __name__ == "__main__":
    main()

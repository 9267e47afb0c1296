"""Which head is the better linear probe: `python benchmarks/probe.py` writes benchmarks/reports/probe.md.

On frozen features of three pairs of source and target, at 5, 20 and 50 pictures a class: the package's ridge, and
logistic regression on standardised features as it was before (a C of four by validation accuracy, 0.1 without
validation), or with 21 strengths, each fit started from the one before it, chosen by validation or 5 folds. TETHER_DATA
names the folder of data; Fashion-MNIST is Debian's `dataset-fashion-mnist`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cifar_fashion
import numpy as np
from fashion import write_pictures
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from tether import RunSpec
from tether.answers import Answers
from tether.data.split import split
from tether.engine.build import Job, build
from tether.engine.probe import frozen_features
from tether.scores import Scores
from tether.strength.probe import Labelled, LinearProbe, sharpness

SEEDS, COUNTS = range(5), (5, 20, 50)
TESTED = 8
POOL = 150
REPORT = Path(__file__).parent / "reports" / "probe.md"
PHOTOS = cifar_fashion.DATA / "office_caltech10" / "images" / "amazon"
Logits = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[Labelled, Labelled | None, int], Logits]


def ridge(train: Labelled, validation: Labelled | None, classes: int) -> Logits:
    return LinearProbe.of(train, classes, validation=validation).outputs


def logistic_of_four(train: Labelled, validation: Labelled | None, classes: int) -> Logits:
    scaled = _scaler(train[0])

    def fitted(c: float) -> LogisticRegression:
        return LogisticRegression(C=c, max_iter=2000).fit(scaled(train[0]), train[1])

    chosen = 0.1
    if validation is not None:
        held = scaled(validation[0])
        chosen = max((0.01, 0.1, 1.0, 10.0), key=lambda c: fitted(c).score(held, validation[1]))
    found = fitted(chosen)
    return lambda features: found.decision_function(scaled(features))


def logistic_path(train: Labelled, validation: Labelled | None, classes: int, *, standardised: bool = True) -> Logits:
    scaled = _scaler(train[0], each=standardised)
    strengths = np.geomspace(1e2, 1e-5, 21)

    def path(features: np.ndarray, labels: np.ndarray) -> Iterator[Logits]:
        at = np.zeros(classes * (features.shape[1] + 1))
        for strength in strengths:
            at = _logistic(scaled(features), np.eye(classes)[labels], strength, at)
            yield lambda new, at=at: scaled(new) @ at[:-classes].reshape(classes, -1).T + at[-classes:]

    every = list(path(*train))
    if validation is not None:
        held, truth = [logits(validation[0]) for logits in every], validation[1]
    else:
        folds, truth = _folds(train[1], 5), train[1]
        held = [np.zeros((len(truth), classes)) for _ in strengths]
        for fold in range(5):
            out = folds == fold
            for said, logits in zip(held, path(train[0][~out], truth[~out]), strict=True):
                said[out] = logits(train[0][out])
    accuracies = [((said.argmax(1) == truth).mean(), -_nll(said, truth)) for said in held]
    best = max(range(len(strengths)), key=accuracies.__getitem__)
    factor = sharpness(held[best], truth)
    return lambda features: factor * every[best](features)


FITS: dict[str, Fit] = {
    "ridge": ridge,
    "logistic, C of four": logistic_of_four,
    "logistic, path": logistic_path,
    "logistic, path, features as they are": lambda *given: logistic_path(*given, standardised=False),
}


def _scaler(features: np.ndarray, *, each: bool = True) -> Callable[[np.ndarray], np.ndarray]:
    centre, spread = features.mean(0), features.std(0)
    spread = np.where(spread > 0, spread, 1.0) if each else np.sqrt((spread**2).mean())
    return lambda new: (new - centre) / spread


def _logistic(features: np.ndarray, wanted: np.ndarray, strength: float, start: np.ndarray) -> np.ndarray:
    size, classes = wanted.shape

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = at[:-classes].reshape(classes, -1), at[-classes:]
        said = log_softmax(features @ weight.T + bias, axis=1)
        slope = (np.exp(said) - wanted) / size
        value = -(said * wanted).sum() / size + strength / 2 * (weight**2).sum()
        return value, np.concatenate([(slope.T @ features + strength * weight).ravel(), slope.sum(0)])

    return minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6}).x


def _folds(labels: np.ndarray, count: int) -> np.ndarray:
    folds = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        folds[mine] = np.arange(len(mine)) % count
    return folds


def _nll(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def settings(root: Path) -> dict[str, RunSpec]:
    write_pictures(root, train=POOL, test=cifar_fashion.TEST)
    beside = {"threads": 1, "device": "cpu"}
    return {
        "MNIST → digits": RunSpec.from_flags(
            beside | {"model.name": "digits-cnn", "source.path": "mnist", "data.path": "digits"}
        ),
        "EfficientNet-Lite0 → amazon photos": RunSpec.from_flags(
            beside
            | {
                "model.name": "timm:tf_efficientnet_lite0",
                "source.path": "efficientnet-lite0",
                "data.path": str(PHOTOS),
                "preprocessing.size": 96,
            }
        ),
        "ResNet-20 of CIFAR-10 → Fashion-MNIST": cifar_fashion.spec(root, {}, "source", 0).replace(
            {"source.data": None}
        ),
    }


def parted(job: Job, features: np.ndarray, count: int, seed: int) -> tuple[Labelled, Labelled | None, Labelled]:
    """Training, validation and test parts as `fit` draws them; a class that is too small leaves some for test."""
    pictures = job.task.pictures
    small = pictures.counts("train").min() - TESTED * (pictures.split is None)
    data = job.spec.data.model_copy(update={"per_class": int(min(count, small)), "validation": None})
    parts = split(pictures, data, seed)
    train, validation, test = (
        (features[part], pictures.labels[part]) for part in (parts.train, parts.validation, parts.test)
    )
    return train, validation if len(validation[1]) else None, test


def main() -> None:
    import torch
    from step import commit, processor

    torch.set_num_threads(1)
    lines = [
        "| source → target | a class | head | accuracy (seed by seed) | NLL | CPU seconds |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for name, spec in settings(Path(scratch)).items():
            job = build(spec)
            features = frozen_features(job.model, job.task.pictures, np.arange(len(job.task.pictures)), job.spec)
            for count in COUNTS:
                parts = [parted(job, features, count, seed) for seed in SEEDS]
                for head, fit in FITS.items():
                    scores, seconds = [], []
                    for train, validation, (shown, truth) in parts:
                        start = time.process_time()
                        logits = fit(train, validation, len(job.task.pictures.classes))
                        seconds.append(time.process_time() - start)
                        scores.append(Scores.of(Answers.of(logits(shown), truth)))
                    each = ", ".join(f"{score.accuracy:.3f}" for score in scores)
                    accuracy, nll = (statistics.mean(getattr(s, what) for s in scores) for what in ("accuracy", "nll"))
                    cost = statistics.median(seconds)
                    lines.append(f"| {name} | {count} | {head} | {accuracy:.4f} ({each}) | {nll:.3f} | {cost:.2f} |")
                    print(lines[-1], flush=True)
    about = (
        f"Frozen features of the source, heads fitted to 5, 20 and 50 pictures a class (validation is a fifth of them "
        f"from 10 a class on; of the photos' smallest class {TESTED} are left for test), scored on the others, of "
        f"Fashion-MNIST on 100 a class. Mean over seeds {', '.join(map(str, SEEDS))}, each with its own draw. The "
        "ridge is `probe = true`; both paths of logistic regression are calibrated by a temperature fitted on what was "
        f"held out, as the ridge is. One thread on {processor()}; torch {torch.__version__}; commit {commit()}; "
        "written by `python benchmarks/probe.py`."
    )
    report = "\n".join(["# Which head is the better linear probe", "", about, "", *lines, ""])
    REPORT.write_text(report)


if __name__ == "__main__":
    main()

"""Scores: what the answers of a model to labelled items come to."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tether.answers import Answers

BINS = 15


@dataclass(frozen=True)
class Scores:
    """Accuracy with its Wilson interval over items, and what else one pass over labelled items says.

    Args:
        balanced: mean over the classes that occur of the share of each that is right.
        f1: macro F1, the mean over the classes that occur or are guessed.
        nll: mean negative log likelihood, in nats.
        brier: mean over items of Σ over all classes of (p − onehot)², from 0 to 2 (Brier, 1950).
        ece: expected calibration error of the top label, Σ_b n_b/n · |right_b − confidence_b| over 15 bins of equal
            width, each open below and closed above (Guo et al., 2017). It is biased upward on few items.
        auroc: the chance that of two items, one a class, that of the second class gets the higher probability of it,
            ties half (Mann and Whitney, 1947); none unless there are two classes and both occur.

    >>> print(Scores.of(Answers.of(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 0]))))
    accuracy 0.500 [0.095, 0.905] on 2 · balanced 0.500 · F1 0.333 · NLL 1.127 · Brier 0.790 · ECE 0.381
    """

    accuracy: float
    low: float
    high: float
    balanced: float
    f1: float
    nll: float
    brier: float
    ece: float
    auroc: float | None
    count: int

    @classmethod
    def of(cls, answers: Answers) -> "Scores":
        """Score answers."""
        from scipy.stats import binomtest
        from sklearn.metrics import f1_score, recall_score

        truth, guess = answers.truth, answers.guess
        right = int(answers.right.sum())
        interval = binomtest(right, len(truth)).proportion_ci(0.95, method="wilson")
        return cls(
            accuracy=right / len(truth),
            low=float(interval.low),
            high=float(interval.high),
            balanced=float(recall_score(truth, guess, average="macro", labels=np.unique(truth), zero_division=0.0)),
            f1=float(f1_score(truth, guess, average="macro", zero_division=0.0)),
            nll=float(answers.nll.mean()),
            brier=float(answers.brier.mean()),
            ece=ece(answers),
            auroc=auroc(answers),
            count=len(truth),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        interval = f"[{self.low:.3f}, {self.high:.3f}] on {self.count:,}"
        rest = f"balanced {self.balanced:.3f} · F1 {self.f1:.3f} · NLL {self.nll:.3f}"
        calibration = f"Brier {self.brier:.3f} · ECE {self.ece:.3f}"
        ranked = "" if self.auroc is None else f" · AUROC {self.auroc:.3f}"
        return f"accuracy {self.accuracy:.3f} {interval} · {rest} · {calibration}{ranked}"


def ece(answers: Answers, bins: int = BINS) -> float:
    """Expected calibration error of the top label over bins of equal width (Guo et al., 2017)."""
    edges = np.linspace(0, 1, bins + 1)
    which = np.digitize(answers.confidence, edges[1:-1], right=True)
    gaps = np.bincount(which, weights=answers.right - answers.confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(answers.truth))


def auroc(answers: Answers) -> float | None:
    """Area under the ROC curve of two classes; none unless both occur.

    The guess and its confidence rank the items, so that equal outputs tie whatever the truth is.
    """
    from scipy.stats import rankdata

    second = answers.truth == 1
    count = int(second.sum())
    if answers.classes != 2 or not 0 < count < len(second):
        return None
    ranks = rankdata(np.where(answers.guess == 1, answers.confidence, -answers.confidence))
    wins = float(ranks[second].sum()) - count * (count + 1) / 2
    return wins / (count * (len(second) - count))

"""LinearProbe: a linear head on frozen features, whose strength is chosen and whose outputs are calibrated."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from tether.strength.ridge import Ridge, grid, unit

Labelled = tuple[Float[np.ndarray, "n features"], Int64[np.ndarray, " n"]]
LEFT_OUT, VALIDATION = "leave-one-out", "validation"
LEAST, MOST = 2.0**-20, 2.0**40
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Point:
    """One strength of a path, and what its outputs on held-out items come to once they are calibrated."""

    strength: float
    accuracy: float
    nll: float
    sharpness: float


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A ridge on one-hot labels, of the strength whose calibrated outputs on held-out items have the least NLL.

    Held out are the training items, of each of which the fit to all others speaks, and those of validation where there
    are any. One that is alone in its class is not counted, since the others know no such class. Where nothing is held
    out, the strength is the features' mean variance.

    Args:
        weight: with the sharpness in it, so that a softmax of the outputs is calibrated.
        bias: the same.
        chosen_by: what was held out.
        count: how many items were.
        path: all strengths that were tried.
    """

    weight: Float64[np.ndarray, "classes features"]
    bias: Float64[np.ndarray, " classes"]
    strength: float
    sharpness: float
    chosen_by: str
    count: int
    path: tuple[Point, ...]

    @classmethod
    def of(cls, train: Labelled, classes: int, *, validation: Labelled | None = None) -> "LinearProbe":
        """Fit to the training items.

        Raises:
            InputError: a feature is not finite, or there are fewer than two items.
        """
        features, labels = train
        path = Ridge.of(features, np.eye(classes)[labels])
        in_company = np.bincount(labels, minlength=classes)[labels] > 1
        chosen_by = [LEFT_OUT] * bool(in_company.any()) + [VALIDATION] * (validation is not None)
        if chosen_by:
            held, truth = _held_out(path, labels, in_company, validation)
            tried = tuple(_points(grid(path), held, truth))
            best = min(tried, key=lambda point: (point.nll, -point.strength))
            strength, factor, count = best.strength, best.sharpness, len(truth)
        else:
            strength, tried, count = unit(path), (), 0
            factor = sharpness(next(path.predictions(features, [strength])), labels)
        weight, bias = path.weights(strength)
        said = " and ".join(chosen_by) or "nothing"
        return cls(factor * weight, factor * bias, strength, factor, said, count, tried)

    def outputs(self, features: Float[np.ndarray, "n features"]) -> Float64[np.ndarray, "n classes"]:
        """Logits of items."""
        logits: Float64[np.ndarray, "n classes"] = features @ self.weight.T + self.bias
        return logits

    def to_json(self) -> dict[str, Any]:
        """Plain values of all but the weights."""
        return {
            "strength": self.strength,
            "sharpness": self.sharpness,
            "chosen_by": self.chosen_by,
            "held_out": self.count,
            "path": [asdict(point) for point in self.path],
        }


def sharpness(outputs: Float64[np.ndarray, "n classes"], labels: Int64[np.ndarray, " n"], near: float = 1.0) -> float:
    """The factor on outputs, an inverse temperature (Guo et al., 2017), at which their softmax is the most likely.

    The truth counts (n + 1)/(n + 2) and the other classes the rest (Platt, 2000), so that items that are all right do
    not ask for an infinite one. What is no better than chance gets next to none.

    >>> round(sharpness(np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]]), np.array([0, 0, 0, 0])), 2)  # 3 of 4 right
    0.69
    """
    from scipy.optimize import brentq

    size, classes = outputs.shape
    wanted = np.full(outputs.shape, 1 / (size + 2) / (classes - 1))
    wanted[np.arange(size), labels] = (size + 1) / (size + 2)
    target = float((wanted * outputs).sum())

    def slope(factor: float) -> float:
        return float((_softmax(factor * outputs) * outputs).sum()) - target

    low = high = near
    while low > LEAST and slope(low) > 0:
        low /= 4
    while high < MOST and slope(high) < 0:
        high *= 4
    return float(brentq(slope, low, high, rtol=1e-6)) if slope(low) < 0 < slope(high) else low if low < near else high


def _held_out(
    path: Ridge, labels: Int64[np.ndarray, " n"], chosen: Bool[np.ndarray, " n"], validation: Labelled | None
) -> tuple[Iterator[Float64[np.ndarray, "held classes"]], Int64[np.ndarray, " held"]]:
    """Outputs on held-out items, strength by strength, and the truth."""
    left_out = (said[chosen] for said in path.left_out(grid(path)))
    if validation is None:
        return left_out, labels[chosen]
    features, truth = validation
    both = zip(left_out, path.predictions(features, grid(path)), strict=True)
    return (np.concatenate(parts) for parts in both), np.concatenate([labels[chosen], truth])


def _points(
    strengths: Float64[np.ndarray, " count"],
    held: Iterator[Float64[np.ndarray, "held classes"]],
    truth: Int64[np.ndarray, " held"],
) -> Iterator[Point]:
    factor = 1.0
    for strength, outputs in zip(strengths, held, strict=True):
        factor = sharpness(outputs, truth, factor)
        shares = _softmax(factor * outputs)[np.arange(len(truth)), truth]
        accuracy = float((outputs.argmax(1) == truth).mean())
        yield Point(float(strength), accuracy, float(-np.log(np.maximum(shares, TINY)).mean()), factor)


def _softmax(logits: Float64[np.ndarray, "n classes"]) -> Float64[np.ndarray, "n classes"]:
    shares: Float64[np.ndarray, "n classes"] = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares

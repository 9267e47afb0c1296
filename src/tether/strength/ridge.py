"""Ridge: linear regression at every strength, from one eigendecomposition."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float, Float64

from tether.errors import InputError

EPSILON = float(np.finfo(np.float64).eps)
LEAST = float(np.finfo(np.float64).tiny)
COLUMNS = 512


@dataclass(frozen=True, eq=False)
class Ridge:
    r"""W and b of least $\frac{1}{2n}\lVert Y-XW^\top-b\rVert^2 + \frac{\lambda}{2}\lVert W-W_0\rVert^2$ for every λ.

    The convention is the house's: L2(λ) beside a mean over n items, of half the squared error, with b free. About their
    means, $W^\top = W_0^\top + (X^\top X/n + \lambda I)^{-1}X^\top(Y - XW_0^\top)/n$ (Hoerl and Kennard, 1970). The
    eigenvectors are those of $X^\top X/n$, or of $XX^\top/n$ where there are hardly more items than features. Where
    features are standardised, the penalty is on the weights of the standardised ones.

    Args:
        centre: mean of each feature.
        spread: what each feature is divided by.
        mean: of each output.
        reference: W₀, for features as they are.
        spectrum: the eigenvalues.
        basis: from standardised features to eigenvectors.
        answer: the outputs by eigenvector.
        own: the items by eigenvector.
        residual: the outputs about their mean, less what the reference says of them.
        outputs: as they were given.
        few: whether the eigenvectors are of items.

    >>> path = Ridge.of(np.array([[0.0], [2.0]]), np.array([[0.0], [2.0]]))
    >>> weight, bias = path.weights(1.0)  # the variance of the feature is 1 too, so that half of the slope is left
    >>> weight.item(), bias.item()
    (0.5, 0.5)
    """

    centre: Float64[np.ndarray, " features"]
    spread: Float64[np.ndarray, " features"]
    mean: Float64[np.ndarray, " outputs"]
    reference: Float64[np.ndarray, "outputs features"]
    spectrum: Float64[np.ndarray, " rank"]
    basis: Float64[np.ndarray, "features rank"]
    answer: Float64[np.ndarray, "rank outputs"]
    own: Float64[np.ndarray, "n rank"]
    residual: Float64[np.ndarray, "n outputs"]
    outputs: Float64[np.ndarray, "n outputs"]
    few: bool

    @classmethod
    def of(
        cls,
        features: Float[np.ndarray, "n features"],
        outputs: Float[np.ndarray, "n outputs"],
        *,
        standardise: bool = False,
        reference: Float[np.ndarray, "outputs features"] | None = None,
    ) -> "Ridge":
        """Decompose features once, in float64.

        Args:
            standardise: divide each feature by its standard deviation; one that is constant is left as it is.
            reference: W₀; zero when not given.

        Raises:
            InputError: the shapes do not fit, there are fewer than two items, or a value is not finite.
        """
        x, y = np.asarray(features, dtype=np.float64), np.asarray(outputs, dtype=np.float64)
        held = np.zeros((y.shape[-1], x.shape[-1])) if reference is None else np.asarray(reference, dtype=np.float64)
        _require_sound(x, y, held)
        centre, mean = x.mean(0), y.mean(0)
        x = x - centre
        spread = _spread(x, centre) if standardise else np.ones(x.shape[1])
        x = _centred(x / spread)
        residual = _centred(y - mean - x @ (held * spread).T)
        few = len(x) <= x.shape[1] + 1
        spectrum, basis, own = _of_items(x) if few else _of_features(x)
        answer = own.T @ residual if few else own.T @ residual / len(x)
        return cls(centre, spread, mean, held, spectrum, basis, answer, own, residual, y, few)

    def weights(
        self, strength: float
    ) -> tuple[Float64[np.ndarray, "outputs features"], Float64[np.ndarray, " outputs"]]:
        """Weight and bias at one λ, for features as they are.

        Raises:
            InputError: the strength is not a finite number above 0.
        """
        _require_strength(strength)
        moved = self.basis @ (self.answer / (self.spectrum + strength)[:, None])
        weight = self.reference + (moved / self.spread[:, None]).T
        return weight, self.mean - weight @ self.centre

    def predictions(
        self, features: Float[np.ndarray, "m features"], strengths: Iterable[float]
    ) -> Iterator[Float64[np.ndarray, "m outputs"]]:
        """What is said of other items, λ by λ; the items are brought to the eigenvectors once, and W is never formed.

        Raises:
            InputError: a strength is not a finite number above 0.
        """
        x = np.asarray(features, dtype=np.float64) - self.centre
        start = self.mean + x @ self.reference.T
        turned = (x / self.spread) @ self.basis
        for several in _batches(strengths, COLUMNS // self.answer.shape[1]):
            shrunk = [self.answer / (self.spectrum + strength)[:, None] for strength in several]
            moved = turned @ np.concatenate(shrunk, axis=1)
            yield from (start + part for part in np.split(moved, len(several), axis=1))

    def left_out(self, strengths: Iterable[float]) -> Iterator[Float64[np.ndarray, "n outputs"]]:
        """What the fit to all others says of each item, λ by λ: y − (y − ŷ)/(1 − h) with its leverage h (Allen, 1974).

        The others are fitted with the same sum of penalty and errors, so that λ is λn/(n − 1) beside their mean. Each
        feature stays divided by its deviation over all items.

        Raises:
            InputError: a strength is not a finite number above 0.
        """
        squares, size = self.own**2, len(self.own)
        for strength in strengths:
            _require_strength(strength)
            kept = 1 / (self.spectrum + strength)
            if self.few:
                missed = self.own @ (strength * kept[:, None] * self.answer)
                free = squares @ (strength * kept)
            else:
                missed = self.residual - self.own @ (kept[:, None] * self.answer)
                free = 1 - (1 + squares @ kept) / size
            yield self.outputs - missed / np.maximum(free, LEAST)[:, None]


def unit(path: Ridge) -> float:
    """The mean variance of the features as they are used, in which strengths are told; 1 where all are constant."""
    return float(path.spectrum.sum()) / len(path.basis) or 1.0


def grid(path: Ridge, count: int = 49, *, low: float = 1e-6, high: float = 1e3) -> Float64[np.ndarray, " count"]:
    """Strengths evenly spaced on a logarithmic scale, in units of the features' mean variance.

    >>> path = Ridge.of(np.array([[0.0], [4.0]]), np.array([[0.0], [1.0]]))
    >>> grid(path, 3, low=0.1, high=10).round(3).tolist()  # the variance is 4
    [0.4, 4.0, 40.0]
    """
    return np.geomspace(low, high, count) * unit(path)


Decomposition = tuple[Float64[np.ndarray, " rank"], Float64[np.ndarray, "features rank"], Float64[np.ndarray, "n rank"]]


def _of_features(x: Float64[np.ndarray, "n features"]) -> Decomposition:
    """By the eigenvectors of XᵀX/n."""
    basis = _eigenvectors(x.T @ x)
    own = x @ basis
    return _squares(own) / len(x), basis, own


def _of_items(x: Float64[np.ndarray, "n features"]) -> Decomposition:
    """By those of XXᵀ/n but one: what is the same for all items is the bias's, and no feature has any of it.

    It is given the greatest eigenvalue, so that no eigenvector of little or none is mixed with it.
    """
    gram = x @ x.T
    gram += 2 * np.trace(gram) / len(x) or 1.0
    own = _eigenvectors(gram)[:, :-1]
    basis = x.T @ own
    return _squares(basis) / len(x), basis / len(x), own


def _eigenvectors(gram: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    from scipy.linalg import eigh

    return eigh(gram, overwrite_a=True, check_finite=False, driver="evd")[1]  # type: ignore[no-any-return]


def _squares(columns: Float64[np.ndarray, "rows rank"]) -> Float64[np.ndarray, " rank"]:
    """Rayleigh quotients, since of a small eigenvalue itself no digit may be left."""
    return np.einsum("ij,ij->j", columns, columns)  # type: ignore[no-any-return]


def _spread(x: Float64[np.ndarray, "n features"], centre: Float64[np.ndarray, " features"]) -> np.ndarray:
    """The standard deviation of each centred feature; 1 where it is nothing but rounding."""
    spread: np.ndarray = np.sqrt((x**2).mean(0))
    return np.where(spread > 10 * EPSILON * np.abs(centre), spread, 1.0)


def _centred(x: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n k"]:
    """Once more, since the mean of many is rounded."""
    centred: Float64[np.ndarray, "n k"] = x - x.mean(0)
    return centred


def _batches(strengths: Iterable[float], size: int) -> Iterator[list[float]]:
    rest = iter(strengths)
    while several := list(islice(rest, max(1, size))):
        for strength in several:
            _require_strength(strength)
        yield several


def _require_strength(strength: float) -> None:
    if not (math.isfinite(strength) and strength > 0):
        raise InputError(
            f"a ridge of strength {strength} has no single solution, or none",
            why="λ is a finite number above 0",
            fix="a small λ, such as 1e-8 of the features' variance, for nearly none",
        )


def _require_sound(x: np.ndarray, y: np.ndarray, reference: np.ndarray) -> None:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or reference.shape != (y.shape[1], x.shape[1]):
        raise InputError(
            f"features of {x.shape}, outputs of {y.shape} and a reference of {reference.shape} do not fit",
            why="they are n × features, n × outputs and outputs × features",
            fix="bring them to these shapes",
        )
    if len(x) < 2:
        raise InputError(
            f"a ridge needs two items or more, and there are {len(x)}",
            why="about its own mean a single one says nothing",
            fix="add items",
        )
    for name, values in (("features", x), ("outputs", y), ("reference", reference)):
        if bad := int((~np.isfinite(values)).sum()):
            raise InputError(
                f"{bad} of {values.size} values of the {name} are not finite",
                why="one of them would spoil every weight",
                fix="look for what made them: weights that overflowed, or a division by zero",
            )

"""BSS: batch spectral shrinkage, which presses the weakest directions of a batch's features to zero."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from tether.errors import DataError, PlanError
from tether.terms.base import Seen, Term, wide
from tether.terms.taps import Tap


@dataclass(frozen=True, repr=False)
class BSS(Term):
    r"""The k smallest squared singular values of a batch's features, $\sum_{i=1}^k\sigma_{-i}^2(F)$.

    F is the batch × features matrix that the head is given (Chen et al., NeurIPS 2019, section 4). Their η is the
    factor: `0.001 * BSS()` is the setting of their published code, which takes k = 1. Its minimum is 0, where a batch
    spans k directions fewer. It is a sum over the batch and no mean: with more samples than features it grows with
    them.

    Args:
        k: how many.
        layer: whose input is F; the model's head when not given.

    Raises:
        PlanError: k is no whole number from 1 on.

    >>> from torch import nn
    >>> features = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    >>> (0.001 * BSS())(nn.Linear(3, 2), (features.requires_grad_(), None))
    0.001 = bss 0.001

    """

    k: int = 1
    layer: str | None = None
    name: ClassVar[str] = "bss"
    is_mean: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise PlanError(
                f"`BSS(k={self.k!r})`: a whole number from 1 on",
                why="it is how many of the smallest singular values are penalised",
                fix="BSS(k=1)",
            )

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The head's input."""
        return (Tap(self.layer, "input"),)

    def value(self, seen: Seen) -> Float[Tensor, ""]:
        """Of one batch.

        Raises:
            DataError: the features are no matrix, or have fewer than k singular values.

        """
        features = seen.student.one(self.taps[0])
        if features.ndim != 2 or min(features.shape) < self.k:
            raise DataError(
                f"`{self!r}` has features of {tuple(features.shape)}",
                why=f"it needs a matrix, batch × features, with {self.k} singular values or more",
                fix="a larger batch, or a layer that is given one vector a sample",
            )
        return smallest_energy(features, self.k)

    def __repr__(self) -> str:
        told = [f"k={self.k}"] * (self.k != 1) + [f"layer={self.layer!r}"] * (self.layer is not None)
        return f"BSS({', '.join(told)})"


def smallest_energy(features: Float[Tensor, "batch features"], k: int = 1) -> Float[Tensor, ""]:
    r"""$\sum_{i=1}^k\sigma_{-i}^2(F)$, with a gradient that is always finite.

    It is $\min_U\lVert U^\top F\rVert^2$ over U with k orthonormal columns (Fan, 1949), reached by the eigenvectors of
    the k smallest eigenvalues of $FF^\top$, or of $F^\top F$ where the batch is the longer side. At the minimum U
    may be held fixed in the derivative (Danskin, 1967), so the gradient is $2UU^\top F=2\sum_i\sigma_{-i}u_iv_i^\top$:
    exact where the k-th smallest differs from the next, one of the generalised gradients where it does not, and with no
    division by differences of singular values. The eigenvectors are found in float64. Derivatives of a higher order
    are not right.

    >>> smallest_energy(torch.diag(torch.tensor([3.0, 2.0, 1.0])), k=2)
    tensor(5.)

    """
    features = wide(features)
    if features.shape[0] > features.shape[1]:
        features = features.T
    exact = features.detach().double()
    with torch.autocast(features.device.type, enabled=False):
        found = torch.linalg.eigh(exact @ exact.T).eigenvectors[:, :k].to(features)
        energy: Tensor = (found.T @ features).square().sum()
    return energy

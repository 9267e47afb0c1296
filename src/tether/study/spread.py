"""Spread: how much of the differences between two methods is of the seed, of the test item, and of both together."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Spread:
    r"""The mean squares of the crossed table of differences, seeds × items.

    With $d_{si} = \mu + a_s + b_i + e_{si}$, their expectations are $I\sigma_a^2 + \sigma_e^2$,
    $S\sigma_b^2 + \sigma_e^2$ and $\sigma_e^2$, and the variance of the mean over other seeds and other items is
    $\sigma_a^2/S + \sigma_b^2/I + \sigma_e^2/SI$.

    >>> spread = Spread.of(np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    >>> round(spread.seed, 3), round(spread.item, 3), round(spread.rest, 3)
    (0.167, 0.5, 0.167)
    """

    seed: float
    item: float
    rest: float
    seeds: int
    items: int

    @classmethod
    def of(cls, differences: Float[np.ndarray, "seeds items"]) -> Self:
        """The spread of differences that were measured."""
        seeds, items = differences.shape
        rows, columns = differences.mean(1, keepdims=True), differences.mean(0, keepdims=True)
        rest = differences - rows - columns + differences.mean()
        return cls(
            seed=items * float(rows.var(ddof=1)),
            item=seeds * float(columns.var(ddof=1)),
            rest=float((rest**2).sum()) / ((seeds - 1) * (items - 1)),
            seeds=seeds,
            items=items,
        )

    @property
    def variance(self) -> float:
        """Of the mean, on new data; where chance would have it below, what the seeds or the items alone show."""
        total = max(self.seed + self.item - self.rest, self.seed, self.item)
        return total / (self.seeds * self.items)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance, by Satterthwaite (1946); infinite where nothing varies."""
        parts = (
            (self.seed, self.seeds - 1),
            (self.item, self.items - 1),
            (self.rest, (self.seeds - 1) * (self.items - 1)),
        )
        noise = sum(square**2 / free for square, free in parts)
        total = self.variance * self.seeds * self.items
        return total**2 / noise if noise else float("inf")

    def at(self, seeds: int, items: int) -> "Spread":
        """What is expected of other numbers of seeds and items, if the variances stay as they are here."""
        seed, item = max(self.seed - self.rest, 0) / self.items, max(self.item - self.rest, 0) / self.seeds
        return Spread(items * seed + self.rest, seeds * item + self.rest, self.rest, seeds, items)

"""Terms: an objective's value for one batch, with every term's share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Terms:
    """An objective's value for one batch.

    Args:
        total: what `backward` is called on.
        values: every term's share of the total by name, its factor included, without gradient; their sum is the total.
        output: what the model returned.

    """

    total: Float[Tensor, ""]
    values: Mapping[str, Float[Tensor, ""]]
    output: Any

    def log(self) -> dict[str, float]:
        """The total and every share as numbers; waits for the device."""
        shares = {f"terms/{name}": float(value) for name, value in self.values.items()}
        return {"terms/total": float(self.total.detach()), **shares}

    def __str__(self) -> str:
        shares = " + ".join(f"{name} {float(value):.4g}" for name, value in self.values.items())
        return f"{float(self.total.detach()):.4g} = {shares}"

    __repr__ = __str__

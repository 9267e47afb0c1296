"""Gathering: a pull too small for its dtype, collected over steps until it can act."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from tether.errors import PullBelowPrecision
from tether.held import Held

# A gathered pull moves what it should by at least this many half ulps of the weight. Toward zero the displacement is
# the weight itself; toward the source, displacements of a thousandth of the weight must still be moved.
HALF_ULPS = {"zero": 8, "source": 1024}
MOST_STEPS = 1000
MOST_SHARE = 0.1
ASSUMED_STEP = 1e-3


class Gathering:
    """For each held part how large a step its pull needs, and what is collected toward it so far.

    A prox step of size η moves a displacement by about η·λ of itself. Where that is less than half an ulp of the
    weight, 2,000 steps leave every bit as it was; their sum, taken as one step every k, acts. It is their size that is
    added up, and not their number, so that a warm-up, a falling rate and steps without a gradient count as what they
    are. No step gathered is larger than a tenth of the displacement.
    """

    def __init__(self) -> None:
        self.every: dict[Held, int] = {}
        self.enough: dict[Held, float] = {}
        self.least: dict[Held, float] = {}
        self.collected: dict[Held, float | Tensor] = {}

    def settle(self, part: Held, step: float) -> None:
        """Choose what is enough, and the least that can act at all.

        Args:
            part: what is pulled.
            step: the largest step to come; 0 where that is not known yet, and then nothing is refused.

        Raises:
            PullBelowPrecision: even 1,000 steps at once would round to nothing.

        """
        pull = part.penalty.pulling
        if pull is None or not part.numel:  # a constraint holds at any step
            self.every[part], self.enough[part], self.least[part] = 1, 0.0, 0.0
            return
        assumed, reference = step or ASSUMED_STEP, "zero" if part.pull.reference == "zero" else "source"
        ratio = pull.relative_pull(part.weight(), assumed)
        if ratio == 0:  # all its importances are 0: it pulls nothing
            self.every[part], self.enough[part], self.least[part] = 1, 0.0, 0.0
            return
        half_ulp = torch.finfo(part.parameter.dtype).eps / 2
        least = HALF_ULPS["zero"] * half_ulp
        steps_at_once = MOST_STEPS if part.penalty.coupled else 1  # a constraint beside it cannot wait
        if step and ratio * steps_at_once < least:
            raise PullBelowPrecision(
                f"the pull {part.pull!r} on `{part.name}` rounds to nothing in {part.parameter.dtype}",
                why=f"a step of {step:.1e} moves {ratio:.1e} of a displacement, and half an ulp is {half_ulp:.1e}",
                fix="keep the weights in float32, raise the strength or the rate, or leave the parameter free",
            )
        if not part.penalty.coupled:
            self.every[part], self.enough[part], self.least[part] = 1, 0.0, 0.0
            return
        wanted = max(least, min(HALF_ULPS[reference] * half_ulp, MOST_SHARE))
        steps = MOST_STEPS if wanted > MOST_STEPS * ratio else wanted / ratio
        self.every[part] = max(1, math.ceil(steps))
        self.enough[part] = assumed * steps
        self.least[part] = min(self.enough[part], assumed * least / ratio if ratio else math.inf)

    def collect(self, part: Held, step: float | Tensor) -> float | Tensor:
        """Add one step; return what is due, 0 where it is not enough yet."""
        if isinstance(step, Tensor) and step.dtype.itemsize < 4:
            step = step.float()  # a narrow sum stops growing
        before = self.collected.get(part, 0.0)
        # a step for each value is as large as the parameter, so what is collected of it stays in its memory
        self.collected[part] = before.add_(step) if isinstance(before, Tensor) else before + step
        return self._due(part, self.enough[part])

    def take(self) -> list[tuple[Held, float | Tensor]]:
        """Hand over all that can act; what would round to nothing stays, but for a step for each value, which goes."""
        return [
            (part, self._due(part, self.least[part] if _is_one(total) else 0.0))
            for part, total in self.collected.items()
        ]

    def saved(self) -> dict[str, float | Tensor]:
        """What is collected, by part, for `restore`: a number, or a tensor where each value has a step of its own."""
        totals = {part.key: total for part, total in self.collected.items() if bool((torch.as_tensor(total) > 0).any())}
        return {
            key: total.clone() if isinstance(total, Tensor) and total.ndim else float(total)
            for key, total in totals.items()
        }

    def settled(self) -> dict[str, tuple[int, float, float]]:
        """What was settled, by part: an L1's share of a displacement depends on the weights as they were then."""
        return {part.key: (every, self.enough[part], self.least[part]) for part, every in self.every.items()}

    def restore(
        self,
        held: Iterable[Held],
        saved: Mapping[str, float | Tensor],
        settled: Mapping[str, tuple[int, float, float]],
    ) -> None:
        """Go on with what was collected in a saved state, by what was settled there."""
        self.collected = {}
        for part in held:
            if (total := saved.get(part.key)) is not None:
                device = part.parameter.device
                self.collected[part] = total.to(device, copy=True) if isinstance(total, Tensor) else total
            if part in self.every and part.key in settled:
                self.every[part], self.enough[part], self.least[part] = settled[part.key]

    def _due(self, part: Held, threshold: float) -> float | Tensor:
        total = self.collected[part]
        ready = total >= threshold
        if isinstance(total, Tensor) and isinstance(ready, Tensor):
            due: float | Tensor = torch.where(ready, total, 0.0)
            total.masked_fill_(ready, 0.0)
            return due
        due = total * ready
        self.collected[part] = total - due
        return due


def _is_one(total: float | Tensor) -> bool:
    return not isinstance(total, Tensor) or total.ndim == 0

"""L2: half the squared displacement, the penalty of weight decay and of L2-SP."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tether.penalties.base import Penalty, checked_strength

# Elements a pass: on a CPU small enough that the displacement of a piece stays in cache, elsewhere one launch.
CPU_PIECE, DEVICE_PIECE = 1 << 16, 1 << 24


@dataclass(frozen=True, repr=False)
class L2(Penalty):
    r"""Squared displacement, $\frac{\lambda}{2}\lVert\delta\rVert^2$, whose gradient is $\lambda\delta$.

    Number for number PyTorch's `weight_decay`, and the α and β of L2-SP (Li, Grandvalet and Davoine, 2018, eq. 4). The
    prox is the shrink 1/(1 + step·λ), not AdamW's 1 − step·λ.

    Raises:
        PlanError: the strength is negative or not finite.

    >>> import torch
    >>> L2(0.5).value(torch.tensor([1.0, -2.0]))
    tensor(1.2500)
    >>> 2 * L2(0.5) + L2(1.0)
    L2(2.0)

    """

    strength: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", checked_strength("L2", self.strength))

    def value(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """½ λ ‖δ‖²."""
        return self.strength / 2 * delta.square().sum()

    def grad(self, delta: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ δ."""
        return self.strength * delta

    def prox(self, delta: Float[Tensor, "*shape"], step: float | Tensor) -> Float[Tensor, "*shape"]:
        """δ / (1 + step·λ)."""
        return delta / (1 + step * self.strength)

    def scaled(self, factor: float) -> "L2":
        """L2(factor · λ)."""
        return L2(factor * self.strength)

    @property
    def null(self) -> bool:
        """λ = 0."""
        return self.strength == 0

    def add_gradient_(
        self,
        grads: Sequence[Tensor],
        weights: Sequence[Tensor],
        references: Sequence[Tensor] | None,
        scale: float | Tensor = 1.0,
    ) -> None:
        """Toward zero the same operation, and so the same bits, as the optimiser's own `weight_decay`."""
        if references is not None:
            for g, w, r in zip(grads, weights, references, strict=True):
                for piece, weight, reference in _pieces(g, w, r):
                    _add_scaled_(piece, weight - reference, self.strength, scale)
        elif isinstance(scale, Tensor):
            for g, w in zip(grads, weights, strict=True):
                _add_scaled_(g, w, self.strength, scale)
        else:
            torch._foreach_add_(list(grads), list(weights), alpha=self.strength * scale)

    def prox_(self, weights: Sequence[Tensor], references: Sequence[Tensor] | None, step: float | Tensor) -> None:
        """One fused pass, weights ← weights + t·(references − weights) with t = step·λ/(1 + step·λ)."""
        share = step * self.strength / (1 + step * self.strength)
        if isinstance(share, Tensor):
            for i, w in enumerate(weights):
                t = share.to(w)
                w.addcmul_(w, t, value=-1) if references is None else w.lerp_(references[i], t)
        elif references is None:
            torch._foreach_add_(list(weights), list(weights), alpha=-share)
        else:
            torch._foreach_lerp_(list(weights), list(references), share)

    def relative_pull(self, weight: Float[Tensor, "*shape"], step: float) -> float:
        """step·λ/(1 + step·λ), the same for every displacement."""
        return step * self.strength / (1 + step * self.strength)

    def __repr__(self) -> str:
        return f"L2({self.strength!r})"


def _add_scaled_(grad: Tensor, delta: Tensor, strength: float, scale: float | Tensor) -> None:
    if isinstance(scale, Tensor):
        wide = scale.to(torch.promote_types(scale.dtype, grad.dtype))  # in float16 a scale of 65536 alone is ∞
        grad.addcmul_(delta, (strength * wide).to(grad))
    else:
        grad.add_(delta, alpha=strength * scale)


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors of one dense layout alike, so that a temporary is a piece and not a whole parameter."""
    first = tensors[0]
    size = CPU_PIECE if first.device.type == "cpu" else DEVICE_PIECE
    layouts = (torch.contiguous_format, torch.channels_last) if first.ndim == 4 else (torch.contiguous_format,)
    dense = any(all(t.is_contiguous(memory_format=layout) for t in tensors) for layout in layouts)
    if first.numel() <= size or not dense:
        yield tensors
        return
    flat = [t.as_strided((t.numel(),), (1,)) for t in tensors]
    yield from zip(*(torch.split(t, size) for t in flat), strict=True)

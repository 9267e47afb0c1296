"""Values that are not finite: a source that has some has diverged, or was damaged."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

from tether.errors import MatchError
from tether.matching.fate import Pair

STATISTICS = ("running_mean", "running_var")


def require_finite(pairs: Iterable[Pair], tensors: Mapping[str, Tensor], origin: str) -> None:
    """Refuse a source with a value that is not finite where it would be copied.

    A buffer that is no running statistic may be infinite, as the mask of an attention is.

    Raises:
        MatchError: a value is NaN, or infinite; the message counts them and names the first tensor.

    """
    bad = [(pair, count) for pair in pairs if (count := _not_finite(pair, tensors[pair.source]))]
    if not bad:
        return
    pair, count = bad[0]
    more = f", and {len(bad) - 1} more tensors have some" if len(bad) > 1 else ""
    values = "value that is" if count == 1 else f"values of {tensors[pair.source].numel():,} that are"
    raise MatchError(
        f"`{pair.source}` of `{origin}` has {count:,} {values} not finite{more}",
        why="a model that starts from NaN or infinity learns nothing, and its training may have diverged",
        fix=f"an earlier checkpoint of the source, or leave it out: --exclude {pair.target}",
    )


def _not_finite(pair: Pair, value: Shaped[Tensor, "..."]) -> int:
    if not (value.is_floating_point() or value.is_complex()) or not value.numel():
        return 0
    plain = torch.view_as_real(value) if value.is_complex() else value
    plain = plain.float() if plain.element_size() == 1 else plain  # torch finds no least value of float8
    ends = torch.stack(torch.aminmax(plain))  # a NaN is both, so that one pass without a copy suffices
    if ends.isfinite().all():
        return 0
    may_be_infinite = pair.is_buffer and not pair.target.endswith(STATISTICS)
    return int((plain.isnan() if may_be_infinite else ~plain.isfinite()).sum())

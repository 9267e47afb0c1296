"""Sharding: which part of a tensor this process holds, and sums over the processes that hold the others."""

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tether.errors import AttachError, PlanError
from tether.params.norms import hold_statistics
from tether.params.select import spelled
from tether.params.shards import sharded, whole
from tether.penalties.ball import MarsBall
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.sums import Sum
from tether.penalties.views import AXES
from tether.penalties.weighted import Weighted

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def cut(tensor: Tensor, like: Tensor) -> Tensor:
    """The part of `tensor` that lies where this process's part of `like` does; nothing is sent where it is whole."""
    if not sharded(like):
        return whole(tensor)
    if sharded(tensor) and (tensor.device_mesh, tensor.placements) == (like.device_mesh, like.placements):
        return tensor.to_local()
    return _placed(whole(tensor), like, like.placements)


def cut_rows(mask: Bool[Tensor, " rows"], like: Tensor) -> Bool[Tensor, " part"]:
    """The part of a mask over the rows of `like` that is over this process's rows."""
    if not sharded(like):
        return mask
    from torch.distributed.tensor import Replicate

    placements = zip(like.placements, _axes(like), strict=True)
    return _placed(mask, like, [p if axis == 0 else Replicate() for p, axis in placements])


def place_gradient_(parameter: nn.Parameter) -> None:
    """Shard the gradient as the parameter is: it may be in summands of which nobody has taken the sum."""
    grad = parameter.grad
    if grad is not None and sharded(grad) and sharded(parameter) and grad.placements != parameter.placements:
        parameter.grad = grad.redistribute(placements=parameter.placements)


def total(terms: Iterable[tuple[Float[Tensor, ""], Tensor]]) -> Float[Tensor, ""]:
    """Sum up values, each of this process's part of the tensor beside it, over all parts; differentiable.

    The same on every process, and a part that several of them hold counts once. One all-reduce serves all tensors that
    are sharded over the same processes.
    """
    layouts: dict[Any, list[Tensor]] = {}
    for value, tensor in terms:
        key = (tensor.device_mesh, tuple(axis is not None for axis in _axes(tensor))) if sharded(tensor) else None
        layouts.setdefault(key, []).append(value)
    sums = []
    for key, values in layouts.items():
        here = torch.stack([value.to(values[0]) for value in values]).sum()
        sums.append(here if key is None else _reduced(here, *key))
    return torch.stack([value.to(sums[0]) for value in sums]).sum() if sums else torch.zeros(())


def on_shard(penalty: Penalty, name: str, parameter: Tensor, part: Callable[[Tensor], Tensor]) -> Penalty:
    """The penalty of a parameter as it is on what this process holds of it.

    Args:
        penalty: as it is on the whole parameter.
        name: the parameter's.
        parameter: sharded or not.
        part: takes out of a tensor of the parameter's shape what is held here.

    Raises:
        PlanError: it holds values together that lie on several processes.

    """
    if isinstance(penalty, Sum):
        return Sum(tuple(on_shard(term, name, parameter, part) for term in penalty.terms))
    if isinstance(penalty, Weighted) and isinstance(penalty.importance, Tensor):
        return Weighted(penalty.strength, part(penalty.importance))
    if not _acts_on_parts(penalty, parameter):
        raise PlanError(
            f"`{penalty!r}` cannot hold `{name}`, which is sharded",
            why="it holds values together that lie on several processes",
            fix="L2, L1 or Weighted; of rows sharded along the first axis also GroupLasso(…) and MarsBall(…); or DDP",
        )
    return penalty


def refuse_flattened(model: nn.Module) -> None:
    """Refuse a model in FSDP1, whose parameters are pieces of one flat tensor and have lost their shapes.

    Raises:
        AttachError: it is in one.

    """
    if any(kind.__name__ == "FullyShardedDataParallel" for module in model.modules() for kind in type(module).__mro__):
        raise AttachError(
            "this model is in `FullyShardedDataParallel`, which is FSDP1",
            why="it flattens parameters, so that a piece of one cannot be told from the whole",
            fix="FSDP2's `fully_shard`, and the tether after it",
        )


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def parted_batches(model: nn.Module) -> str:
    """A sentence on the BatchNorm layers that take each process's statistics by themselves; empty where none does."""
    spell = spelled(model)
    names = [spell(name) for name, layer in model.named_modules() if _takes_batch_statistics(layer)]
    if processes() == 1 or not names:
        return ""
    layers = f"`{names[0]}`" + (f" and {len(names) - 1} more" if names[1:] else "")
    return (
        f"BatchNorm: each of {processes()} processes normalises its own part of a batch in {layers}, so the result "
        "differs from one process with the whole batch; keep the source's statistics with layer.eval(), or take "
        "torch.nn.SyncBatchNorm on a GPU"
    )


def warn_of_parted_batches(model: nn.Module) -> None:
    """Say that sentence as a warning, in the first process."""
    if (sentence := parted_batches(model)) and dist.get_rank() == 0:
        warnings.warn(sentence, stacklevel=3)


def _axes(tensor: "DTensor") -> list[int | None]:
    """For each dimension of the mesh of processes, the axis that it cuts; None where it makes copies."""
    return [None if p.is_replicate() else p.dim % tensor.ndim for p in tensor.placements]  # type: ignore[attr-defined]


def _placed(tensor: Tensor, like: "DTensor", placements: Any) -> Tensor:
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.detach(), like.device_mesh, placements, src_data_rank=None).to_local()


def _reduced(value: Tensor, mesh: Any, split: tuple[bool, ...]) -> Tensor:
    from torch.distributed.tensor import DTensor, Partial, Replicate

    return DTensor.from_local(value, mesh, [Partial() if s else Replicate() for s in split]).full_tensor()


def _acts_on_parts(penalty: Penalty, parameter: Tensor) -> bool:
    axes = _split_axes(parameter)
    if penalty.elementwise or not axes:
        return True
    if isinstance(penalty, MarsBall):
        return axes == {0}
    axis = AXES.get(penalty.view) if isinstance(penalty, GroupLasso) and isinstance(penalty.view, str) else None
    return axis is not None and axes == {axis if parameter.ndim > 1 else 0}


def _split_axes(parameter: Tensor) -> set[int]:
    """The axes along which a tensor is cut into parts."""
    if not sharded(parameter):
        return set()
    axes = zip(parameter.device_mesh.shape, _axes(parameter), strict=True)
    return {axis for count, axis in axes if axis is not None and count > 1}


def _takes_batch_statistics(layer: nn.Module) -> bool:
    if not isinstance(layer, _BatchNorm) or isinstance(layer, nn.SyncBatchNorm):
        return False
    kept = any(hook.__module__ == hold_statistics.__module__ for hook in layer._forward_pre_hooks.values())
    return layer.running_mean is None or (layer.training and not kept)

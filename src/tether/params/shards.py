"""Shards: a tensor of which each process holds a part."""

import sys
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether it is a `DTensor`, of which each process holds a part; that module takes seconds to import."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that this process has, in its own memory; any other tensor as it is."""
    return tensor.to_local() if sharded(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a sharded tensor, gathered from the processes; any other tensor as it is."""
    return tensor.full_tensor() if sharded(tensor) else tensor

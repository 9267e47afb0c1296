"""Other layouts than whole parameters on one axis of processes."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from problem import (
    EVERYTHING,
    OPTIMISERS,
    Net,
    half,
    importance,
    in_one_process,
    new_head,
    one_new_row,
    sharded_net,
    told,
    trained,
)
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from tether.binding import Tether
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.weighted import Weighted

SGD, ADAMW = OPTIMISERS["SGD"], OPTIMISERS["AdamW"]
METRIC = Plan(L2(0.3) + L1(0.002), L2(0.1), metric="optimizer")
SPARSE = Plan(L2(0.3) + L1(0.002), L2(0.1))
WEIGHTED = {
    via: Plan(Weighted(0.5, importance()) + L1(0.002), L2(0.1), via=via)  # type: ignore[arg-type]
    for via in ("gradient", "prox")
}
WEAK = Plan(Weighted(1e-3, importance()) + L1(1e-5), L2(1e-3))
MANY_AT_ONCE = {
    kind: partial(torch.optim.AdamW, lr=0.01, weight_decay=0.0, **{kind: True}) for kind in ("foreach", "fused")
}


def alone() -> Iterator[tuple[str, Any]]:
    yield "metric", in_one_process(METRIC, ADAMW)
    for kind, make in MANY_AT_ONCE.items():
        yield kind, in_one_process(SPARSE, make)
    for via, plan in WEIGHTED.items():
        yield f"one new row by {via}", in_one_process(plan, SGD, one_new_row)
        yield f"layout by {via}", in_one_process(plan, SGD)
        yield f"columns by {via}", of_given_gradients(Net(), via, 0)
    model = Net().float()
    yield "gathered", gathered(model, Tether(model, new_head(model), WEAK), EVERYTHING)


def results(rank: int) -> Iterator[tuple[str, Any]]:
    model, leash = sharded_net(METRIC)
    yield "sharded/metric", trained(model, leash, ADAMW(model.parameters()), half(rank))
    for kind, make in MANY_AT_ONCE.items():
        model, leash = sharded_net(SPARSE)
        yield f"sharded/{kind}", trained(model, leash, make(model.parameters()), half(rank))
    for via, plan in WEIGHTED.items():
        for references in ("whole", "sharded"):
            model, leash = sharded_net(plan, references=references, anchor=one_new_row)
            yield f"{references}/one new row by {via}", trained(model, leash, SGD(model.parameters()), half(rank))
        yield f"partly sharded/layout by {via}", partly_sharded(plan, rank)
        for shape in ((2, 1), (1, 2)):
            mesh = init_device_mesh("cpu", shape, mesh_dim_names=("copies", "shards"))
            model, leash = sharded_net(plan, mesh=mesh)
            yield f"mesh {shape}/layout by {via}", trained(model, leash, SGD(model.parameters()), half(rank))
        yield f"sharded/columns by {via}", of_given_gradients(by_columns(Net()), via, rank)
    yield "sharded/gathered", gathered(*sharded_net(WEAK, dtype=torch.float32), half(rank))


def partly_sharded(plan: Plan, rank: int) -> dict[str, Any]:
    """`fully_shard` over one layer alone; it averages that one's gradients, and we the others'."""
    model = Net()
    fully_shard(model.body)
    leash = Tether(model, new_head(model), plan)

    def backward(loss: Tensor) -> None:
        loss.backward()
        for p in [*model.gate.parameters(), *model.head.parameters()]:
            dist.all_reduce(p.grad)
            p.grad /= 2

    return trained(model, leash, SGD(model.parameters()), half(rank), backward=backward)


def by_columns(model: nn.Module) -> nn.Module:
    """Cut each weight along its second axis, and give every process all of each bias, as tensor parallelism may."""
    mesh = init_device_mesh("cpu", (2,))
    for layer in model.children():
        for name, p in list(layer.named_parameters()):
            cut = distribute_tensor(p.detach(), mesh, [Shard(1) if p.ndim > 1 else Replicate()])
            setattr(layer, name, nn.Parameter(cut))
    return model


def of_given_gradients(model: nn.Module, via: Any, rank: int) -> dict[str, Any]:
    """Two steps; the gradient of what every process has whole comes in summands, a quarter and three."""
    penalty = L2(0.3) + L1(0.01) + GroupLasso(0.02, "channels")
    leash = Tether(model, new_head(model), Plan(penalty, L2(0.1), via=via))
    optimizer = SGD(model.parameters())
    leash.attach(optimizer)
    draw = torch.Generator().manual_seed(3)
    for _ in range(2):
        for p in model.parameters():
            grad = torch.randn(p.shape, generator=draw, dtype=p.dtype)
            if isinstance(p, DTensor) and p.ndim > 1:
                grad = distribute_tensor(grad, p.device_mesh, p.placements)
            elif isinstance(p, DTensor):
                grad = DTensor.from_local(grad * (0.75 if rank else 0.25), p.device_mesh, [Partial()])
            p.grad = grad
        optimizer.step()
    return told(leash)


def gathered(model: nn.Module, leash: Tether, share: slice) -> dict[str, Any]:
    """Steps in float32 in which a weak pull is gathered, and how many steps each tensor waits."""
    optimizer = ADAMW(model.parameters())
    found = trained(model, leash, optimizer, share)
    assert leash.attachment is not None
    every = {part.key: k for part, k in leash.attachment.gathering.every.items()}
    return found | {"every": every, "gathered": leash.state_dict()["gathered"]}

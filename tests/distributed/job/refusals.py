"""What is refused: each in words."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from problem import OPTIMISERS, Net, new_head
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

from tether.anchor import Anchor
from tether.binding import Tether
from tether.errors import TetherError
from tether.matching.transfer import transfer
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.group import GroupLasso
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan
from tether.penalties.views import Heads

ACROSS_ROWS = {
    "FrobeniusBall": FrobeniusBall(0.1),
    "L2 + FrobeniusBall": L2(0.3) + FrobeniusBall(0.1),
    "layers": GroupLasso(0.1, "layers"),
    "channels": GroupLasso(0.1, "channels"),
    "Heads": GroupLasso(0.1, Heads(1)),
}
ALONG_ROWS = {"MarsBall": MarsBall(0.1), "filters": GroupLasso(0.1, "filters"), "neurons": GroupLasso(0.1, "neurons")}


def results(rank: int) -> Iterator[tuple[str, Any]]:
    from layouts import by_columns

    model = Net()
    early = Tether(model, new_head(model), Plan(L2(0.3), L2(0.1)))
    fully_shard(model)
    yield "tether before fully_shard", refusal(lambda: early.attach(OPTIMISERS["SGD"](model.parameters())))
    yield "transfer after fully_shard", refusal(lambda: transfer(Net(), into=model))
    yield "digest", refusal(lambda: Anchor.of(model).digest)
    yield "save", refusal(lambda: Anchor.of(model).save("anchor.safetensors"))
    for name, penalty in ACROSS_ROWS.items():
        yield f"rows/{name}", refusal(lambda penalty=penalty: held(model, penalty))
    columns = by_columns(Net())
    for name, penalty in ALONG_ROWS.items():
        yield f"columns/{name}", refusal(lambda penalty=penalty: held(columns, penalty))
    flat = FullyShardedDataParallel(Net(), use_orig_params=True, device_id=torch.device("cpu"))
    yield "FSDP1", refusal(lambda: Tether(flat, Anchor.of(flat), Plan(L2(0.1))))


def held(model: nn.Module, penalty: Penalty) -> Tether:
    return Tether(model, new_head(model), Plan(penalty))


def refusal(act: Callable[[], Any]) -> str:
    try:
        act()
    except TetherError as error:
        return f"{type(error).__name__}: {error}"
    return "not refused"

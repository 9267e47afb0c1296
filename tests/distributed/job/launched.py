"""Accelerate in two processes, and the blocks of docs/distributed.md."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from problem import OPTIMISERS, Net, batches, half, new_head, told, trained

from tether.binding import Tether
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.plan import Plan

PAGE = Path(__file__).parents[3] / "docs" / "distributed.md"


def results(rank: int) -> Iterator[tuple[str, Any]]:
    for via in ("gradient", "prox"):
        yield f"Accelerate by {via}", accelerated(Plan(L2(0.3) + L1(0.002), L2(0.1), via=via), rank)
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)):
        scope: dict[str, Any] = {"model": Net(), "loader": [(x[half(rank)], y[half(rank)]) for x, y in batches()]}
        exec(block, scope)
        yield f"block {number}", told(scope["leash"])


def accelerated(plan: Plan, rank: int) -> dict[str, Any]:
    from accelerate import Accelerator

    # what `accelerate launch` sets; nothing is sent to the address, since the processes have met
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    accelerator, model = Accelerator(cpu=True), Net()
    leash = Tether(model, new_head(model), plan)
    wrapped, optimizer = accelerator.prepare(model, OPTIMISERS["AdamW"](model.parameters()))
    found = trained(wrapped, leash, optimizer, half(rank), backward=accelerator.backward)
    return found | {"processes": accelerator.num_processes}

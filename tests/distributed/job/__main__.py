"""What each of two processes does for the tests beside it: `python job RANK FOLDER` writes FOLDER/RANK.pt.

What is compared with comes first, before the two know of each other.
"""

import sys
import warnings
from pathlib import Path

import ddp
import fsdp
import launched
import layouts
import normed
import once
import refusals
import torch
import torch.distributed as dist


def main(rank: int, folder: Path) -> None:
    warnings.simplefilter("error", UserWarning)
    torch.set_num_threads(1)
    found = {}
    for part in (ddp, layouts, once):
        found |= {f"{part.__name__}/one process/{name}": result for name, result in part.alone()}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for part in (ddp, fsdp, layouts, once, refusals, normed, launched):
        found |= {f"{part.__name__}/{name}": result for name, result in part.results(rank)}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


main(int(sys.argv[1]), Path(sys.argv[2]))

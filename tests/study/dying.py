"""A network whose process is killed once, in the middle of its training."""

import os
import signal
from pathlib import Path

import torch
from torch import Tensor, nn

STEPS = 12  # past those that an estimate takes


class Net(nn.Module):
    """A linear one, of which the first to be trained so far ends its process, unless the file `died` is there."""

    def __init__(self, num_classes: int = 3, in_chans: int = 1) -> None:
        super().__init__()
        self.head = nn.Linear(144 * in_chans, num_classes)
        self.passes = 0

    def forward(self, pictures: Tensor) -> Tensor:
        self.passes += self.training
        died = Path(os.environ["TETHER_TEST_DIED"])
        if self.passes == STEPS and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        outputs: Tensor = self.head(torch.flatten(pictures, 1))
        return outputs

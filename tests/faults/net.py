"""A small network with all that a resume must restore: dropout and running statistics; and one that asks to stop."""

import os
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, num_classes: int = 3, side: int = 12, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
        )
        self.head = nn.Linear(2 * width * (side // 4) ** 2, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.body(pictures))


class Asking(Net):
    """Sends this process a signal in one of its calls, in training or not."""

    at: ClassVar[tuple[bool, int]] = (True, -1)
    signal: ClassVar[int] = 0
    calls: ClassVar[dict[bool, int]] = {}

    def forward(self, pictures: Tensor) -> Tensor:
        calls = Asking.calls
        calls[self.training] = calls.get(self.training, 0) + 1
        if Asking.at == (self.training, calls[self.training]):
            os.kill(os.getpid(), Asking.signal)
        return super().forward(pictures)

    @classmethod
    def ask(cls, signal: int, *, training: bool, call: int) -> None:
        cls.at, cls.signal = (training, call), signal
        cls.calls = {}


class Greedy(nn.Module):
    """Has no memory for more than a few pictures at once."""

    most: ClassVar[int] = 4

    def __init__(self, num_classes: int = 3, norm: bool = False, **_: Any) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(144) if norm else nn.Identity()
        self.head = nn.Linear(144, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        if self.training and len(pictures) > self.most:
            raise torch.OutOfMemoryError(f"Tried to allocate for {len(pictures)} pictures")
        return self.head(self.norm(pictures.flatten(1)))


class Exploding(Net):
    """Gives what is not finite in one of its training calls, out of one layer or in the gradient alone."""

    at: ClassVar[int] = 5
    where: ClassVar[str] = "loss"
    calls: ClassVar[int] = 0

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.body(pictures)
        Exploding.calls += self.training
        if self.training and Exploding.calls >= self.at:
            features = features * float("nan") if self.where == "loss" else features + (0 * features).sqrt()
        return self.head(features)

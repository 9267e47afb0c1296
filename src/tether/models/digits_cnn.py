"""DigitsCNN: a small net for digits and other little pictures."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tether.models.build import MODELS

GRID = 3


@MODELS.register("digits-cnn")
class DigitsCNN(nn.Module):
    """Three 3x3 convolutions, a mean over a 3x3 grid, an embedding of 64 and a linear head: 47,034 parameters.

    It has no BatchNorm, whose statistics of the two dozen pictures that it is fine-tuned on would hide what a penalty
    does. Takes pictures of any size from 4x4 on.

    >>> import torch
    >>> DigitsCNN(num_classes=10)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(32, 48, kernel_size=3, padding=1)
        self.embed = nn.Linear(48 * GRID * GRID, 64)
        self.head = nn.Linear(64, num_classes)
        for layer in (self.conv1, self.conv2, self.conv3, self.embed):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # He et al. 2015, eq. 10
            nn.init.zeros_(layer.get_parameter("bias"))

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head

    def forward(self, pictures: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return one logit a class."""
        x = functional.max_pool2d(self.conv1(pictures).relu(), 2)
        x = functional.max_pool2d(self.conv2(x).relu(), 2)
        x = functional.adaptive_avg_pool2d(self.conv3(x).relu(), GRID).flatten(1)
        logits: Tensor = self.head(self.embed(x).relu())
        return logits

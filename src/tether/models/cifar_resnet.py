"""CifarResNet20: the 20-layer residual net for CIFAR of He et al. 2016, section 4.2."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tether.models.build import MODELS


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut without parameters (option A: strided, new channels zero)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.fill = outputs - inputs

    def forward(self, x: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        """Return the sum of both ways."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        before = self.fill // 2
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, before, self.fill - before))
        x = self.bn1(self.conv1(x)).relu()
        both: Tensor = self.bn2(self.conv2(x)) + shortcut
        return both.relu()


@MODELS.register("cifar-resnet20")
class CifarResNet20(nn.Module):
    """Three stages of three residual blocks, 16, 32 and 64 channels wide: 269,722 parameters for ten classes.

    >>> import torch
    >>> CifarResNet20(num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, stride=1)
        self.layer2 = _stage(16, 32, stride=2)
        self.layer3 = _stage(32, 64, stride=2)
        self.linear = nn.Linear(64, num_classes)
        _initialise(self)

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.linear

    def forward(self, pictures: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return one logit a class."""
        x = self.bn1(self.conv1(pictures)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    rest = (BasicBlock(outputs, outputs, stride=1) for _ in range(2))
    return nn.Sequential(BasicBlock(inputs, outputs, stride=stride), *rest)


def _initialise(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # He et al. 2015, as the paper has it

"""The networks that every term is tested on: a small CNN, a residual net with batch norm, and a transformer."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from tether.models.cifar_resnet import CifarResNet20
from tether.models.digits_cnn import DigitsCNN
from tether.terms.teacher import frozen

SOURCE_CLASSES, CLASSES, BATCH = 7, 5, 6


class Encoder(nn.Module):
    """Two layers of torch's transformer encoder over six tokens, and a head on their mean."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2)
        self.head = nn.Linear(8, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(tokens).mean(1))


@dataclass
class Net:
    """A network with the source's head, the same with a new one, a batch, and the names of its parts."""

    build: Callable[[int], nn.Module]
    shape: tuple[int, ...]
    layer: str
    head: str
    axis: int

    def __post_init__(self) -> None:
        torch.manual_seed(1)
        self.source = self.build(SOURCE_CLASSES)
        for module in self.source.modules():
            if isinstance(module, nn.BatchNorm2d):  # statistics that are not those of a start
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
        self.teacher = frozen(self.source)
        self.inputs, self.labels = torch.randn(BATCH, *self.shape), torch.randint(CLASSES, (BATCH,))

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        return self.inputs, self.labels

    def twin(self) -> nn.Module:
        """The source again, in evaluation mode, as a student."""
        return deepcopy(self.source).eval()

    def student(self) -> nn.Module:
        """The source somewhat moved, with a new head."""
        student = self.build(CLASSES)
        named = student.state_dict()
        named |= {name: v for name, v in deepcopy(self.source).state_dict().items() if not name.startswith(self.head)}
        student.load_state_dict(named)
        with torch.no_grad():
            for p in student.parameters():
                p.add_(0.05 * torch.randn_like(p))
        return student

    def double(self) -> "Net":
        self.teacher.double()
        self.source.double()
        self.inputs = self.inputs.double()
        return self


NETS = {
    "digits-cnn": lambda: Net(DigitsCNN, (1, 10, 10), "conv3", "head", 1),
    "cifar-resnet20": lambda: Net(CifarResNet20, (3, 8, 8), "layer3", "linear", 1),
    "transformer": lambda: Net(Encoder, (6, 8), "encoder.layers.1", "head", -1),
}


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> Net:
    return NETS[request.param]()


@pytest.fixture
def cnn() -> Net:
    return NETS["digits-cnn"]()


@pytest.fixture
def resnet() -> Net:
    return NETS["cifar-resnet20"]()

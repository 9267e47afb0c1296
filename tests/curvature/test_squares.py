"""The squared gradients of single samples: in one pass and in a loop, and of models that torch cannot batch."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from tether.curvature.squares import SquaredGradients
from tether.errors import DataError, SettingsError
from tether.models.cifar_resnet import CifarResNet20
from tether.models.digits_cnn import DigitsCNN

N, D, C = 6, 4, 3


def by_hand(model: nn.Module, inputs: Tensor, classes: Tensor, shares: Tensor) -> dict[str, Tensor]:
    """One plain backward pass a sample."""
    sums = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for sample, chosen, share in zip(inputs, classes, shares, strict=True):
        model.zero_grad()
        cross_entropy(model(sample[None]), chosen[None]).backward()
        for name, p in model.named_parameters():
            sums[name] += 0 if p.grad is None else share * p.grad.square()
    model.zero_grad()
    return sums


class Branching(nn.Module):
    """What it does depends on its input's values."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(D, C), nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(row[None]) if float(row.sum()) > 0 else self.other(row[None]) for row in x])


class Recurrent(nn.Module):
    """An operation that torch refuses to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.LSTM(D, 5, batch_first=True), nn.Linear(5, C)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


class Attentive(nn.Module):
    """An operation over whose samples torch loops itself, with a warning."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.TransformerEncoderLayer(D, 2, 8, batch_first=True), nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[:, 0])


MODELS = {
    "cnn": (lambda: DigitsCNN(C, 1), (1, 12, 12), True),
    "resnet": (lambda: CifarResNet20(C, 1), (1, 8, 8), True),
    "attention": (Attentive, (5, D), True),
    "recurrent": (Recurrent, (5, D), False),
    "branching": (Branching, (D,), False),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_the_squares_of_plain_backward_passes_and_no_warning(name: str):
    make, shape, batched = MODELS[name]
    model = make().double().eval()
    inputs, classes = torch.randn(N, *shape).double(), torch.randint(C, (N,))
    shares = torch.rand(N).double()
    expected = by_hand(model, inputs, classes, shares)
    squares = SquaredGradients(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = squares(inputs, classes, shares)
    assert squares.batched is batched
    squares.batched = False
    for passes in (found, squares(inputs, classes, shares)):
        for part, value in expected.items():
            torch.testing.assert_close(passes[part], value, rtol=1e-9, atol=1e-20)
    torch.testing.assert_close(squares.logits(inputs), model(inputs), rtol=1e-9, atol=1e-12)


class Centred(nn.Module):
    """It mixes the samples of a batch, as BatchNorm without running statistics does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(0) / 2)


def test_a_model_that_mixes_samples_is_asked_for_one_at_a_time():
    model, inputs = Centred(), torch.randn(N, D)
    squares = SquaredGradients(model)
    alone = torch.cat([model(sample[None]) for sample in inputs])
    torch.testing.assert_close(squares.logits(inputs), alone)
    assert (alone - model(inputs)).abs().max() > 0.1


def test_a_narrow_dtype_is_squared_in_float32():
    model = nn.Linear(D, C, bias=False).half()
    inputs = torch.full((N, D), 1e-4).half()
    found = SquaredGradients(model)(inputs, torch.zeros(N, dtype=torch.int64), torch.ones(N))["weight"]
    assert found.dtype == torch.float32
    assert (found > 0).all()  # of about 1e-9, which is 0 in half precision


class Noisy(Centred):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(dropout(x, 0.5, training=True))


def test_a_model_that_draws_random_numbers_is_refused():
    squares = SquaredGradients(Noisy().eval())
    with pytest.raises(DataError, match="random numbers in evaluation mode"):
        squares.logits(torch.randn(N, D))


@pytest.mark.parametrize("batched", [True, False])
def test_a_model_without_logits_is_refused(batched: bool):
    squares = SquaredGradients(nn.Linear(D, C))
    squares.batched = batched
    with pytest.raises(DataError, match=r"returns shape \(1, 5, 3\) for one sample"):
        squares.logits(torch.randn(2, 5, D))
    squares = SquaredGradients(Recurrent().body)
    squares.batched = batched
    with pytest.raises(DataError, match="returns a tuple"):
        squares.logits(torch.randn(2, 5, D))


def test_a_model_without_parameters_is_refused():
    with pytest.raises(SettingsError, match="no floating-point parameter"):
        SquaredGradients(nn.Identity())


def test_the_models_own_error_is_its_own():
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        SquaredGradients(nn.Linear(D, C)).logits(torch.randn(N, D + 1))

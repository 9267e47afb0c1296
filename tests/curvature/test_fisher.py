"""The Fisher information against closed forms, autograd and the Hessian, in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether.curvature.fisher import KINDS, fisher
from tether.errors import DataError, SettingsError
from tether.models.cifar_resnet import CifarResNet20
from tether.models.digits_cnn import DigitsCNN

N, D, C = 12, 4, 3
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def linear() -> tuple[nn.Linear, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Linear(D, C, dtype=torch.float64)
    return model, torch.randn(N, D, dtype=torch.float64), torch.randint(C, (N,))


def cut(x: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def by_hand(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The mean of squared gradients, one backward pass a sample."""
    sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in model.named_parameters()}
    for sample, label in zip(x, y, strict=True):
        loss = cross_entropy(model(sample[None]), label[None])
        for name, g in zip(sums, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            sums[name] += g.double().square() / len(x)
    return sums


def test_exact_is_the_closed_form_of_a_linear_softmax(linear):
    """Of the weight of class c and input j: the mean of x_j² p_c (1 − p_c)."""
    model, x, _ = linear
    p = model(x).softmax(1).detach()
    spread = p * (1 - p)
    found = fisher(model, [x])
    expected = (spread.T @ x.square() / N).float()
    torch.testing.assert_close(found["weight"], expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(found["bias"], spread.mean(0).float(), rtol=1e-6, atol=0)


def test_exact_is_the_hessians_diagonal_of_a_linear_softmax(linear):
    model, x, y = linear

    def loss(weight: Tensor) -> Tensor:
        return cross_entropy(x @ weight.T + model.bias, y)

    hessian = torch.autograd.functional.hessian(loss, model.weight.detach())
    diagonal = hessian.reshape(C * D, C * D).diagonal().reshape(C, D)
    torch.testing.assert_close(fisher(model, [x])["weight"], diagonal.float(), rtol=1e-6, atol=0)


def test_empirical_is_the_mean_of_squared_gradients_of_the_labels(linear):
    model, x, y = linear
    found = fisher(model, [(x, y)], kind="empirical")
    for name, expected in by_hand(model, x, y).items():
        torch.testing.assert_close(found[name], expected.float(), rtol=1e-6, atol=0)


def test_it_is_not_the_square_of_the_mean_gradient(linear):
    model, x, y = linear
    (mean,) = torch.autograd.grad(cross_entropy(model(x), y), [model.weight])
    found = fisher(model, [(x, y)], kind="empirical")["weight"]
    assert (found > 1.5 * mean.square()).all()


@every_kind
def test_the_size_of_a_batch_changes_nothing(linear, kind: Any):
    model, x, y = linear
    whole = fisher(model, cut(x, y, N), kind=kind)
    for size in (1, 5, 7):
        found = fisher(model, cut(x, y, size), kind=kind)
        assert found.count == N
        for name, expected in whole.items():
            torch.testing.assert_close(found[name], expected, rtol=1e-6, atol=0)


def test_the_mean_of_sampled_ones_is_the_exact_one(linear):
    """400 draws: their mean is within 5 of its standard errors of the exact value, in every weight."""
    model, x, _ = linear
    exact = fisher(model, [x])["weight"].double()
    drawn = torch.stack([fisher(model, [x], kind="sampled", seed=s)["weight"].double() for s in range(400)])
    error = drawn.std(0) / 400**0.5
    assert ((drawn.mean(0) - exact).abs() < 5 * error).all()
    assert not torch.equal(drawn[0], drawn[1])


def test_a_seed_draws_the_same_classes(linear):
    model, x, _ = linear
    first, second = (fisher(model, [x], kind="sampled", seed=3)["weight"] for _ in range(2))
    assert torch.equal(first, second)


@every_kind
@pytest.mark.parametrize("make", [lambda: DigitsCNN(4, 1), lambda: CifarResNet20(4, 1)], ids=["cnn", "resnet"])
def test_a_network_is_left_bit_for_bit_as_it_was(kind: Any, make: Any):
    model = make()
    model.train()
    next(iter(model.children())).eval()
    next(model.parameters()).requires_grad_(False)
    modes = [module.training for module in model.modules()]
    x = torch.randn(3, 1, 16, 16)
    before, rng = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    found = fisher(model, [(x, torch.tensor([0, 1, 3]))], kind=kind)
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(rng, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())
    assert not next(model.parameters()).requires_grad
    assert set(found) == {name for name, _ in model.named_parameters()}


def test_a_convolutional_network_agrees_with_autograd():
    torch.manual_seed(0)
    model = DigitsCNN(4, 1).double().eval()
    x, y = torch.randn(3, 1, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 3])
    found = fisher(model, [(x, y)], kind="empirical")
    for name, expected in by_hand(model, x, y).items():
        torch.testing.assert_close(found[name], expected.float(), rtol=1e-5, atol=1e-12)


class Branching(nn.Module):
    """A network that torch cannot batch: what it does depends on its input."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(D, C).double(), nn.Linear(D, C).double()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(row[None]) if float(row.sum()) > 0 else self.other(row[None]) for row in x])


def test_what_cannot_be_batched_is_done_one_by_one_with_the_same_numbers():
    torch.manual_seed(0)
    model, x, y = Branching(), torch.randn(N, D, dtype=torch.float64), torch.randint(C, (N,))
    found = fisher(model, [(x, y)], kind="empirical")
    sums = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for sample, label in zip(x, y, strict=True):
        model.zero_grad()
        cross_entropy(model(sample[None]), label[None]).backward()
        for name, p in model.named_parameters():
            sums[name] += 0 if p.grad is None else p.grad.square() / N
    for name, expected in sums.items():
        torch.testing.assert_close(found[name], expected.float(), rtol=1e-6, atol=0)


def test_tied_parameters_have_one_information_and_wrappers_no_prefix():
    model = nn.DataParallel(nn.Sequential(nn.Linear(C, C), nn.Linear(C, C)))
    model.module[1].weight = model.module[0].weight
    found = fisher(model, [torch.randn(4, C)])
    assert list(found) == ["0.weight", "0.bias", "1.bias"]


def test_normalised_and_floored_as_stated(linear):
    model, x, _ = linear
    plain = fisher(model, [x])
    found = fisher(model, [x], normalise=True, floor=0.25)
    mean = torch.cat([v.flatten() for v in plain.values()]).double().mean()
    torch.testing.assert_close(found["weight"], (plain["weight"] / mean + 0.25).float(), rtol=1e-6, atol=0)
    assert found.scale == pytest.approx(float(mean), rel=1e-6)


@pytest.mark.parametrize(
    ("batches", "settings", "error", "said"),
    [
        ([], {}, DataError, "no sample"),
        ([torch.randn(2, D).double()], {"kind": "empirical"}, DataError, "needs labels"),
        ([(torch.randn(2, D).double(), torch.tensor([0, C]))], {"kind": "empirical"}, DataError, "0 … 2"),
        ([torch.full((2, D), torch.nan).double()], {}, DataError, "`weight` is not finite"),
        ([torch.full((2, D), torch.nan).double()], {"kind": "sampled"}, DataError, "logits are not finite"),
        ([torch.randn(2, D).double()], {"kind": "true"}, SettingsError, "exact, sampled, empirical"),
        ([torch.randn(2, D).double()], {"floor": -1.0}, SettingsError, "0 or more"),
    ],
)
def test_what_has_no_information_is_refused(linear, batches: Any, settings: Any, error: Any, said: str):
    with pytest.raises(error, match=said) as refused:
        fisher(linear[0], batches, **settings)
    assert refused.value.exit_code == 2


def test_a_model_that_returns_no_logits_is_refused():
    with pytest.raises(DataError, match=r"returns \(2, 5, 3\) for 2 samples"):
        fisher(nn.Linear(D, 3), [torch.randn(2, 5, D)])


def test_a_model_that_is_certain_cannot_be_normalised():
    model = nn.Linear(D, C)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([1e4, 0.0, 0.0]))
    with pytest.raises(DataError, match="zero everywhere"):
        fisher(model, [torch.randn(2, D)], normalise=True)

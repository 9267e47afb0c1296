"""Li et al. (ICLR 2019), DELTA: deep learning transfer using feature map with attention, section 3."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether.terms.attention import attention
from tether.terms.delta import Delta
from tether.terms.teacher import frozen

FACTOR, SAMPLES, CHANNELS = 3.0, 20, 4


def linear() -> nn.Module:
    """Four feature maps of one value, which are linear in the weights, and a head."""
    return nn.Sequential(nn.Linear(5, CHANNELS, bias=False), nn.Linear(CHANNELS, 2)).double()


def gradient(model: nn.Module, loss: Tensor) -> Tensor:
    return torch.autograd.grad(loss, model[0].weight)[0]


def test_each_feature_map_ends_between_the_sources_and_the_datas_whatever_the_curvature():
    """With FM = Wx and a squared loss: wⱼ = (data's + f Wⱼ · source's)/(1 + f Wⱼ), in every direction of x alike."""
    source, model = frozen(linear()), linear()
    x, y = (
        torch.randn(SAMPLES, 5).double() * torch.tensor([10.0, 3, 1, 0.3, 0.1]).double(),
        torch.randn(SAMPLES, 4).double(),
    )
    weights = torch.tensor([0.7, 0.2, 0.1, 0.0]).double()
    behaviour = FACTOR * Delta(source, layers=["0"], weights={"0": weights})
    data = torch.linalg.lstsq(x, y).solution.T
    share = (FACTOR * weights / (1 + FACTOR * weights))[:, None]
    model[0].weight.data = (1 - share) * data + share * source[0].weight
    loss = (model[0](x) - y).square().sum() / SAMPLES + behaviour(model, (x, None)).total
    assert gradient(model, loss).abs().max() < 1e-10
    assert torch.equal(model[0].weight.data[3], data[3])  # a map without attention is free


def test_attention_is_the_softmax_of_the_rise_of_the_loss():
    """Wⱼ : Wₖ = exp(L(w⁰∖j) − L(w⁰∖k)), with filters taken from the source one by one."""
    source = frozen(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double())
    x, labels, probe = torch.randn(9, 2, 4, 4).double(), torch.arange(9) % 3, nn.Linear(12, 3).double()
    losses = []
    for j in range(3):
        cut = frozen(source)
        cut[0].weight[j], cut[0].bias[j] = 0, 0
        losses.append(cross_entropy(probe(cut[:3](x)), labels))
    found = attention(source, probe, [(x, labels)], ["0"])["0"]
    torch.testing.assert_close(found, torch.stack(losses).softmax(0).float().detach())


@pytest.mark.parametrize("attended", [False, True])
def test_the_factor_for_the_published_codes_alpha(resnet_like: Any, attended: bool):
    """It has α/2 Σᵢ ‖FM − FM⁰‖², and with attention α/2 Σᵢⱼ C/(HW) Wⱼ‖FMⱼ − FMⱼ⁰‖², summed over the batch."""
    model, source, x = resnet_like
    alpha, n, channels, size = 0.01, len(x), 6, 25
    ours, theirs = model[0](x), source[0](x)
    weights = torch.rand(channels).double().softmax(0) if attended else torch.ones(channels).double()
    squares = (ours - theirs).square().sum((0, 2, 3)) * weights
    published = alpha / 2 * squares.sum() * (channels / size if attended else 1)
    factor = alpha * n * channels / (2 * size) if attended else alpha * n * channels / 2
    term = Delta(source, layers=["0"], weights={"0": weights} if attended else None)
    torch.testing.assert_close((factor * term)(model, (x, None)).total, published)


@pytest.fixture
def resnet_like() -> tuple[nn.Module, nn.Module, Tensor]:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.Flatten(), nn.Linear(150, 3)).double()

    return build(), frozen(build()), torch.randn(8, 2, 5, 5).double()

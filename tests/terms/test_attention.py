"""DELTA's weights, against a source whose filters are set to zero one after another."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tether.errors import DataError, NoParameterSelected, PlanError
from tether.terms import attention as module
from tether.terms.attention import attention, increases
from tether.terms.delta import Delta


def probed(net: Any, probe: nn.Module) -> nn.Module:
    """The source with the probe for its head."""
    whole = net.twin()
    setattr(whole, net.head, probe)
    return whole


def zeroed(whole: nn.Module, layer: str, j: int) -> nn.Module:
    whole = deepcopy(whole)
    for p in whole.get_submodule(layer).parameters():
        p.data[j] = 0
    return whole


@pytest.mark.parametrize(("kind", "layer"), [("cnn", "conv2"), ("resnet", "layer1.0.conv1")])
def test_an_increase_is_that_of_the_loss_with_a_filter_of_zeros(request: Any, kind: str, layer: str):
    net = request.getfixturevalue(kind).double()
    probe = nn.Linear(64, 5).double()
    whole = probed(net, probe)
    before = cross_entropy(whole(net.inputs), net.labels)
    channels = len(whole.get_submodule(layer).weight)
    expected = [cross_entropy(zeroed(whole, layer, j)(net.inputs), net.labels) - before for j in range(channels)]
    found = increases(net.teacher, probe, [net.batch], [layer])
    assert list(found) == [layer]
    torch.testing.assert_close(found[layer], torch.stack(expected).detach(), rtol=1e-9, atol=1e-12)


def test_the_weights_are_their_softmax_and_a_delta_takes_them(resnet: Any):
    probe, layers = nn.Linear(64, 5), ["layer[12]"]
    found = attention(resnet.teacher, probe, [resnet.batch], layers)
    risen = increases(resnet.teacher, probe, [resnet.batch], layers)
    assert {name: len(values) for name, values in found.items()} == {"layer1": 16, "layer2": 32}
    for name, weights in found.items():
        torch.testing.assert_close(weights, (risen[name].exp() / risen[name].exp().sum()).float())
    assert Delta(resnet.teacher, layers=layers, weights=found)(resnet.student(), resnet.batch).total > 0


def test_how_samples_are_cut_into_batches_and_channels_into_chunks_changes_nothing(
    cnn: Any, monkeypatch: pytest.MonkeyPatch
):
    cnn.double()
    probe = nn.Linear(64, 5).double()
    whole = increases(cnn.teacher, probe, [cnn.batch], ["conv3"])["conv3"]
    monkeypatch.setattr(module, "SAMPLES", 14)
    parts = [(cnn.inputs[a:b], cnn.labels[a:b]) for a, b in ((0, 1), (1, 4), (4, 6))]
    torch.testing.assert_close(increases(cnn.teacher, probe, parts, ["conv3"])["conv3"], whole)


def test_the_channels_of_tokens_are_last(net: Any):
    probe = nn.Linear({"head": 64, "linear": 64}[net.head] if net.axis == 1 else 8, 5)
    found = attention(net.teacher, probe, [net.batch], [net.layer], axis=net.axis)[net.layer]
    assert len(found) == {"conv3": 48, "layer3": 64, "encoder.layers.1": 8}[net.layer]
    assert found.sum().item() == pytest.approx(1, rel=1e-5)


def test_a_channel_that_the_probe_needs_weighs_more_than_one_that_it_does_not():
    source = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(2, 2)).eval().requires_grad_(False)
    source[0].weight[:] = torch.tensor([1.0, 1.0]).view(2, 1, 1, 1)
    x = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    probe = nn.Linear(2, 2, bias=False)
    probe.weight.data = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])  # reads the first channel alone
    risen = increases(source, probe, [(x, torch.tensor([0, 1]))], ["0"])["0"]
    # with the channel the margin is 4 and the loss log(1 + e⁻⁴), without it log 2; the second changes nothing
    expected = torch.tensor([2.0]).log().double() - torch.tensor(-4.0).double().exp().log1p()
    torch.testing.assert_close(risen, torch.cat([expected, torch.zeros(1, dtype=torch.float64)]), rtol=1e-6, atol=1e-9)


def test_the_teacher_is_left_as_it_was_without_hooks(resnet: Any):
    before = {name: value.clone() for name, value in resnet.teacher.state_dict().items()}
    attention(resnet.teacher, nn.Linear(64, 5), [resnet.batch], ["layer3"])
    assert all(torch.equal(value, before[name]) for name, value in resnet.teacher.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in resnet.teacher.modules())


def test_hooks_go_when_the_probe_raises(cnn: Any):
    calls = []

    def probe(features: Tensor) -> Tensor:
        calls.append(len(features))
        if len(calls) > 1:
            raise RuntimeError("the probe's own")
        return features[:, :5]

    with pytest.raises(RuntimeError, match="the probe's own"):
        attention(cnn.teacher, probe, [cnn.batch], ["conv3"])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in cnn.teacher.modules())


def test_what_does_not_fit_is_refused(cnn: Any):
    probe = nn.Linear(64, 5)
    with pytest.raises(DataError, match="of no sample"):
        attention(cnn.teacher, probe, [], ["conv3"])
    with pytest.raises(DataError, match="needs labels"):
        attention(cnn.teacher, probe, [(cnn.inputs, None)], ["conv3"])
    with pytest.raises(NoParameterSelected, match="`conv9`"):
        attention(cnn.teacher, probe, [cnn.batch], ["conv9"])
    with pytest.raises(PlanError, match="not frozen"):
        attention(cnn.source, probe, [cnn.batch], ["conv3"])
    probe.weight.data[:] = float("inf")
    with pytest.raises(DataError, match="not finite"):
        attention(cnn.teacher, probe, [cnn.batch], ["conv3"])

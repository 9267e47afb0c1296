"""The Fisher information against closed forms, autograd and the Hessian, in float64."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tether.curvature import fisher as module
from tether.curvature.fisher import KINDS, fisher
from tether.errors import DataError, SettingsError
from tether.models.cifar_resnet import CifarResNet20
from tether.models.digits_cnn import DigitsCNN

N, D, C = 60, 4, 3
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def linear() -> tuple[nn.Linear, Tensor, Tensor]:
    model = nn.Linear(D, C, dtype=torch.float64)
    return model, torch.randn(N, D, dtype=torch.float64), torch.randint(C, (N,))


def cut(x: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def by_hand(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The mean of squared gradients, one backward pass a sample."""
    sums = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for sample, label in zip(x, y, strict=True):
        loss = cross_entropy(model(sample[None]), label[None])
        for name, g in zip(sums, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            sums[name] += g.square() / len(x)
    return sums


def same(found: Any, expected: Any, rtol: float, atol: float = 0.0) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=rtol, atol=atol)


def test_exact_is_the_closed_form_of_a_linear_softmax(linear):
    """Of the weight of class c and input j: the mean of x_j² p_c (1 − p_c), the diagonal of xxᵀ ⊗ (diag p − ppᵀ)."""
    model, x, _ = linear
    p = model(x).softmax(1).detach()
    spread = p * (1 - p)
    same(fisher(model, [x]), {"weight": spread.T @ x.square() / N, "bias": spread.mean(0)}, rtol=1e-10)


def test_exact_is_the_hessians_diagonal_of_a_linear_softmax(linear):
    """The Hessian of the mean negative log likelihood, whatever the labels."""
    model, x, y = linear

    def loss(weight: Tensor, bias: Tensor) -> Tensor:
        return cross_entropy(x @ weight.T + bias, y)

    (ww, _), (_, bb) = torch.autograd.functional.hessian(loss, (model.weight.detach(), model.bias.detach()))
    diagonal = {"weight": ww.reshape(C * D, C * D).diagonal().reshape(C, D), "bias": bb.diagonal()}
    same(fisher(model, [x]), diagonal, rtol=1e-10)


def test_empirical_is_the_mean_of_squared_gradients_of_the_labels(linear):
    model, x, y = linear
    same(fisher(model, [(x, y)], kind="empirical"), by_hand(model, x, y), rtol=1e-12)


def test_exact_is_the_mean_of_empirical_ones_over_all_labels_weighted_by_the_model():
    model = DigitsCNN(C, 1).double().eval()
    x = torch.randn(4, 1, 12, 12, dtype=torch.float64)
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for sample in x:
        for c, share in enumerate(model(sample[None]).softmax(1)[0].detach()):
            for name, square in by_hand(model, sample[None], torch.tensor([c])).items():
                expected[name] += share * square / len(x)
    same(fisher(model, [x]), expected, rtol=1e-9, atol=1e-20)


def test_it_is_not_the_square_of_the_mean_gradient(linear):
    model, x, y = linear
    (mean,) = torch.autograd.grad(cross_entropy(model(x), y), [model.weight])
    found = fisher(model, [(x, y)], kind="empirical")["weight"]
    assert (found > 1.5 * mean.square()).all()


@pytest.mark.parametrize("settings", [*({"kind": kind} for kind in KINDS), {"kind": "sampled", "draws": 3}], ids=str)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_size_of_a_batch_changes_nothing(linear, settings: Any, size: int, monkeypatch: pytest.MonkeyPatch):
    model, x, y = linear
    whole = fisher(model, [(x, y)], **settings)
    found = fisher(model, cut(x, y, size), **settings)
    assert found.count == N
    same(found, whole, rtol=1e-12)
    monkeypatch.setattr(module, "CHUNK_VALUES", size * (C * D + C))
    same(fisher(model, [(x, y)], **settings), whole, rtol=1e-12)


def test_a_chunk_holds_no_more_gradients_than_it_may(linear, monkeypatch: pytest.MonkeyPatch):
    model, x, y = linear
    sizes = []
    call = module.SquaredGradients.__call__

    def counted(self: Any, inputs: Tensor, *others: Tensor) -> Any:
        sizes.append(len(inputs))
        return call(self, inputs, *others)

    monkeypatch.setattr(module.SquaredGradients, "__call__", counted)
    monkeypatch.setattr(module, "CHUNK_VALUES", 8 * (C * D + C))
    fisher(model, [(x, y)], kind="empirical")
    assert sizes == [8] * 7 + [4]


def test_batch_norm_without_running_statistics_has_one_answer_for_all_sizes():
    layers = nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten()
    model, x = nn.Sequential(*layers, nn.Linear(48, C)).double(), torch.randn(6, 1, 6, 6, dtype=torch.float64)
    same(fisher(model, list(x.split(2))), fisher(model, [x]), rtol=1e-10)


def test_sampled_is_the_exact_one_within_its_standard_error(linear):
    """(1[y = c] − p_c)² has the variance p_c(1 − p_c)(1 − 2p_c)², so that the estimate's error is known beforehand."""
    model, x, _ = linear
    draws = 400
    p = model(x).softmax(1).detach()
    variance = (p * (1 - p) * (1 - 2 * p).square()).T @ x.pow(4) / N**2 / draws
    exact, found = fisher(model, [x]), fisher(model, [x], kind="sampled", draws=draws)
    away = (found["weight"] - exact["weight"]) / variance.sqrt()
    assert away.abs().max() < 5
    assert away.abs().max() > 0.1
    assert found.draws == draws


def test_a_seed_draws_the_same_classes_and_another_others(linear):
    model, x, _ = linear
    first, second, other = (fisher(model, [x], kind="sampled", seed=seed)["weight"] for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_weights_and_inputs_in_other_units_have_the_information_in_these_units(linear):
    """With w = v/a and inputs multiplied by a, p(y|x) is the same and F_w = a² F_v."""
    model, x, _ = linear
    scaled = copy.deepcopy(model)
    scaled.weight.data /= 3
    one, other = fisher(model, [x]), fisher(scaled, [3 * x])
    same({"weight": other["weight"] / 9, "bias": other["bias"]}, one, rtol=1e-12)


@every_kind
@pytest.mark.parametrize("make", [lambda: DigitsCNN(C, 1), lambda: CifarResNet20(C, 1)], ids=["cnn", "resnet"])
def test_a_network_is_left_bit_for_bit_as_it_was(kind: Any, make: Any):
    model = make()
    model.train()
    next(iter(model.children())).eval()
    next(model.parameters()).requires_grad_(False)
    list(model.parameters())[1].grad = torch.ones_like(list(model.parameters())[1])
    modes = [module.training for module in model.modules()]
    gradients = [p.grad for p in model.parameters()]
    x = torch.randn(3, 1, 12, 12)
    before, rng = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    found = fisher(model, [(x, torch.tensor([0, 1, 2]))], kind=kind)
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(rng, torch.get_rng_state())
    assert all(now is then for now, then in zip((p.grad for p in model.parameters()), gradients, strict=True))
    assert (gradients[1] == 1).all()
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * (len(gradients) - 1)
    assert set(found) == {name for name, _ in model.named_parameters()}


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(D, C)

    def forward(self, x: Tensor) -> Tensor:
        torch.rand(1)
        raise ZeroDivisionError


def test_a_network_that_fails_is_left_as_it_was():
    model, rng = Failing().train(), torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        fisher(model, [torch.randn(2, D, generator=torch.Generator())])
    assert model.training and model.layer.training
    assert torch.equal(rng, torch.get_rng_state())


def test_dropout_is_off_and_batch_norm_has_its_running_statistics():
    model = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, C)).double()
    model(torch.randn(N, D).double())
    x = torch.randn(N, D).double()
    found = fisher(model.train(), [x, x])
    assert model.training
    same(found, fisher(model.eval(), [x]), rtol=1e-12)


def test_a_frozen_parameter_has_the_same_information(linear):
    model, x, _ = linear
    free = fisher(model, [x])
    same(fisher(model.requires_grad_(False), [x]), free, rtol=0)


def test_tied_parameters_have_one_information_and_wrappers_no_prefix():
    model = nn.DataParallel(nn.Sequential(nn.Linear(C, C), nn.Linear(C, C)).double())
    model.module[1].weight = model.module[0].weight
    x, y = torch.randn(4, C).double(), torch.tensor([0, 1, 2, 0])
    found = fisher(model, [(x, y)], kind="empirical")
    assert list(found) == ["0.weight", "0.bias", "1.bias"]
    same(found, by_hand(model.module, x, y), rtol=1e-12)


def test_a_wrapper_inside_the_network_is_taken_off_its_names(linear):
    model, x, _ = linear
    found = fisher(nn.Sequential(nn.DataParallel(model)), [x])
    same(found, {f"0.{name}": value for name, value in fisher(model, [x]).items()}, rtol=1e-12)


def test_a_loader_of_inputs_alone_is_read(linear):
    model, x, y = linear
    same(fisher(model, DataLoader(TensorDataset(x), batch_size=7)), fisher(model, [x]), rtol=1e-12)
    labelled = DataLoader(TensorDataset(x, y), batch_size=7)
    same(fisher(model, labelled, kind="empirical"), fisher(model, [(x, y)], kind="empirical"), rtol=1e-12)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)], ids=str)
def test_narrower_weights_have_nearly_the_same_information_in_float32(dtype: torch.dtype, rtol: float):
    model, x = DigitsCNN(C, 1).to(dtype), torch.randn(9, 1, 12, 12).to(dtype)
    found, wide = fisher(model, [x]), fisher(copy.deepcopy(model).double(), [x.double()])
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert (value - wide[name]).norm() <= rtol * wide[name].norm()


def test_normalised_and_floored_as_stated(linear):
    model, x, _ = linear
    plain = fisher(model, [x])
    found = fisher(model, [x], normalise=True, floor=0.25)
    mean = torch.cat([v.flatten() for v in plain.values()]).mean()
    same(found, {name: value / mean + 0.25 for name, value in plain.items()}, rtol=1e-12)
    assert (found.scale, found.floor) == (pytest.approx(float(mean), rel=1e-12), 0.25)
    same(fisher(model, [x], floor=0.25), {name: value + 0.25 for name, value in plain.items()}, rtol=1e-12)


X = torch.ones(2, D, dtype=torch.float64)


@pytest.mark.parametrize(
    ("batches", "settings", "error", "said"),
    [
        ([], {}, DataError, "no sample"),
        ([X[:0]], {}, DataError, "no sample"),
        (X, {}, DataError, "`batches` is one tensor"),
        ([{"inputs": X}], {}, DataError, "a batch is a dict"),
        ([(X, X, X)], {}, DataError, "a batch is a tuple"),
        ([X], {"kind": "empirical"}, DataError, "needs labels"),
        ([(X, torch.tensor([0, C]))], {"kind": "empirical"}, DataError, "(?s)0 … 2 .*from 0 to 3"),
        ([(X, torch.tensor([-1, 0]))], {"kind": "empirical"}, DataError, "from -1 to 0"),
        ([(X, torch.tensor([0]))], {"kind": "empirical"}, DataError, r"int64 of shape \(1,\)"),
        ([(X, torch.tensor([0.5, 1.0]))], {"kind": "empirical"}, DataError, "float32 of shape"),
        ([(X, torch.eye(3)[:2])], {"kind": "empirical"}, DataError, r"of shape \(2, 3\)"),
        ([X * torch.nan], {}, DataError, "`weight` is not finite"),
        ([X * torch.nan], {"kind": "sampled"}, DataError, "logits are not finite"),
        ([X], {"kind": "true"}, SettingsError, "exact, sampled, empirical"),
        ([X], {"floor": -1.0}, SettingsError, "0 or more"),
        ([X], {"floor": float("nan")}, SettingsError, "0 or more"),
        ([X], {"kind": "sampled", "draws": 0}, SettingsError, "at least one"),
        ([X], {"draws": 2}, SettingsError, "`draws` has no meaning"),
    ],
)
def test_what_has_no_information_is_refused(linear, batches: Any, settings: Any, error: Any, said: str):
    with pytest.raises(error, match=said) as refused:
        fisher(linear[0], batches, **settings)
    assert refused.value.exit_code == 2


@pytest.fixture
def certain() -> nn.Linear:
    model = nn.Linear(D, C)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([1e4, 0.0, 0.0]))
    return model


def test_zero_everywhere_is_refused_unless_a_floor_stands_in(certain: nn.Linear):
    x = torch.randn(2, D)
    for settings in ({}, {"normalise": True}, {"normalise": True, "floor": 1.0}):
        with pytest.raises(DataError, match="certain of every sample"):
            fisher(certain, [x], **settings)
    with pytest.raises(DataError, match="fits every sample"):
        fisher(certain, [(x, torch.zeros(2, dtype=torch.int64))], kind="empirical")
    found = fisher(certain, [x], floor=0.1)
    assert (found["weight"] == 0.1).all()
    assert "100% next to 0" in str(found)


class Detached(nn.Linear):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class DetachedByValue(Detached):
    """One that torch cannot batch either."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.sum()) > 0 else -super().forward(x)


@pytest.mark.parametrize("network", [Detached, DetachedByValue])
def test_a_forward_pass_without_gradients_is_refused(linear, network: type[nn.Linear]):
    with pytest.raises(DataError, match="keeps no gradient"):
        fisher(network(D, C), [linear[1].float()])

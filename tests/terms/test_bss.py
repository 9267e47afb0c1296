"""The smallest singular values, against torch's, with gradients that stay finite where the SVD's do not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tether.errors import DataError, PlanError
from tether.terms.bss import BSS, smallest_energy
from tether.terms.taps import Tap, forward

SHAPES = [(6, 9), (9, 6), (7, 7), (1, 5), (5, 1)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def by_svd(features: Tensor, k: int) -> Tensor:
    return torch.linalg.svdvals(features)[-k:].square().sum()


@pytest.mark.parametrize(
    ("shape", "k"), [(shape, k) for shape in SHAPES for k in (1, 3, 5) if k <= min(shape)], ids=str
)
def test_value_and_gradient_are_those_of_the_svd(shape: tuple[int, int], k: int):
    ours = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    found, expected = smallest_energy(ours, k), by_svd(theirs, k)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-10)


@every_shape
def test_gradcheck(shape: tuple[int, int]):
    assert torch.autograd.gradcheck(smallest_energy, torch.randn(shape, dtype=torch.float64, requires_grad=True))


def test_with_all_of_them_it_is_the_whole_energy():
    features = torch.randn(4, 6)
    torch.testing.assert_close(smallest_energy(features, 4), features.square().sum())


EQUAL = {
    "identity": torch.eye(5),
    "repeated smallest": torch.diag(torch.tensor([3.0, 1.0, 1.0, 1.0])),
    "zero": torch.zeros(4, 6),
    "rank one": torch.outer(torch.arange(1.0, 5), torch.arange(1.0, 7)),
    "one sample four times": torch.randn(1, 8, generator=torch.Generator().manual_seed(0)).expand(4, 8),
}


@pytest.mark.parametrize("features", EQUAL.values(), ids=list(EQUAL))
@pytest.mark.parametrize("k", [1, 2])
def test_where_singular_values_are_equal_the_gradient_is_finite_and_goes_down(features: Tensor, k: int):
    features = features.clone().requires_grad_()
    value = smallest_energy(features, k)
    torch.testing.assert_close(value, by_svd(features.detach(), k), rtol=1e-5, atol=1e-6)
    value.backward()
    assert features.grad.isfinite().all()
    # ‖∇‖² = 4 Σσ² for every choice of singular vectors, the size of a generalised gradient
    torch.testing.assert_close(features.grad.square().sum(), 4 * value.detach(), rtol=1e-4, atol=1e-6)
    assert smallest_energy(features.detach() - 0.1 * features.grad, k) <= value.detach() + 1e-6


def test_the_svds_own_gradient_is_not_finite_there():
    """So that the test above is of something: singular vectors of equal values have infinite derivatives."""
    features = torch.eye(5, requires_grad=True)
    u = torch.linalg.svd(features).U[:, -1:]
    (u.T @ features).square().sum().backward()
    assert not features.grad.isfinite().all()


def test_in_single_precision_a_small_value_beside_a_large_one_is_exact():
    """FFᵀ in float32 would be off by 1e6 · 2⁻²⁴ = 0.06, which is more than the 0.03 between the two smallest σ²."""
    values = torch.tensor([1e3, 1e2, 50, 20, 10, 5, 0.2, 0.1], dtype=torch.float64)
    left, right = (torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q for _ in range(2))
    features = ((left * values) @ right).float().requires_grad_()  # off by up to 1e3 · 2⁻²⁴ = 6e-5, beside a σ of 0.1
    smallest_energy(features, 1).backward()
    exact = torch.linalg.svd(features.detach().double())
    expected = 2 * exact.S[-1] * torch.outer(exact.U[:, -1], exact.Vh[-1])
    # U in float32 is 2⁻²⁴ off, and Uᵀ F then 1e3 times that
    torch.testing.assert_close(features.grad.double(), expected, rtol=0, atol=1e-3)


def test_the_features_are_what_the_head_is_given(net: Any):
    student = net.student().eval()
    features = forward(student, net.inputs, [Tap(net.head, "input")]).one(Tap(net.head, "input")).detach()
    found = BSS(k=2)(student, (net.inputs, None)).total
    torch.testing.assert_close(found.detach(), by_svd(features, 2), rtol=1e-3, atol=1e-6)
    assert BSS(k=2, layer=net.head)(student, (net.inputs, None)).total == found


@pytest.mark.parametrize("k", [0, -1, 1.0, True, "1"])
def test_a_count_that_is_none_is_refused(k: Any):
    with pytest.raises(PlanError, match="a whole number from 1 on"):
        BSS(k=k)


def test_too_small_a_batch_is_refused(cnn: Any):
    with pytest.raises(DataError, match=r"features of \(6, 64\)"):
        BSS(k=7)(cnn.student(), cnn.batch)


def test_features_that_are_no_matrix_are_refused(cnn: Any):
    with pytest.raises(DataError, match=r"features of \(6, 16, 5, 5\)"):
        BSS(layer="conv2")(cnn.student(), cnn.batch)


def test_it_needs_no_labels_and_no_teacher():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    assert BSS()(model, (torch.randn(5, 3), None)).total.requires_grad

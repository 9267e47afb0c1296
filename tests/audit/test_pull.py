"""A pull as measured: what rounding may do, and what is a fault."""

import pytest
import torch
from torch import nn

from tether.audit.pull import Measured, gradient_pull, prox_pull, reference
from tether.held import Held
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2


def held(dtype: torch.dtype = torch.float32, *, new: bool = False) -> Held:
    weight = torch.randn(40, 30).to(dtype)
    pull = L2(0.5).toward("zero") if new else L2(0.5).toward("source")
    return Held("weight", "new" if new else "transferred", nn.Parameter(weight), pull, None if new else weight + 1)


def measured(by: float, *, dtype: torch.dtype = torch.float32, strength: float = 1e-3) -> Measured:
    """A gradient of one to which a pull, multiplied by something, was added in a dtype."""
    expected = strength * (1 + torch.rand(40, 30, dtype=torch.float64))
    before = 1 + torch.rand(40, 30).to(dtype)
    after = before + (by * expected).to(dtype)
    return Measured.of(held(dtype), expected, after.double() - before.double(), before.double() + expected, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_rounding_does_is_no_fault_and_a_per_cent_is(dtype: torch.dtype) -> None:
    assert measured(1.0, dtype=dtype).passed
    assert measured(1.0, dtype=dtype).share == pytest.approx(1, abs=1e-4)
    for wrong in (0.0, 0.99, 1.01, 2.0, -1.0):
        found = measured(wrong, dtype=dtype)
        assert not found.passed
        assert found.share == pytest.approx(wrong, abs=1e-4)


def test_one_value_that_is_off_is_a_fault() -> None:
    expected = torch.full((1000,), 1e-3, dtype=torch.float64)
    found = expected.clone()
    found[7] = 0.0
    one = Measured.of(held(), expected, found, torch.ones(1000, dtype=torch.float64), torch.float32)
    assert abs(one.share - 1) <= one.free
    assert not one.passed
    assert one.fault.startswith("something else acts")


def test_a_pull_below_half_an_ulp_is_lost_though_every_value_is_rounded_right() -> None:
    found = measured(1.0, dtype=torch.bfloat16, strength=1e-4)
    assert (found.measured, found.within, found.passed) == (0.0, True, False)
    assert found.fault.startswith("the pull rounds away in torch.bfloat16")
    assert measured(1.0, dtype=torch.bfloat16, strength=0.1).passed


def test_the_expected_pulls_are_the_closed_forms() -> None:
    part = held()
    weight, to = part.weight().double(), part.reference.double()
    torch.testing.assert_close(gradient_pull(part, 3.0), 1.5 * (weight - to), rtol=1e-15, atol=0)
    step = torch.tensor(0.1, dtype=torch.float64)
    torch.testing.assert_close(prox_pull(part, part.weight(), step), (weight - to) * (1 / 1.05 - 1), rtol=1e-12, atol=0)
    steps = torch.rand(40, 30, dtype=torch.float64)
    torch.testing.assert_close(
        prox_pull(part, part.weight(), steps), (weight - to) * (1 / (1 + 0.5 * steps) - 1), rtol=1e-12, atol=1e-15
    )
    assert not reference(held(new=True)).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_small_displacement_from_a_large_reference_loses_nothing(dtype: torch.dtype) -> None:
    # the difference of two floats is rounded once, to its own size
    weight, to = (100 + torch.rand(500)).to(dtype), torch.full((500,), 100.0).to(dtype)
    part = Held("weight", "transferred", nn.Parameter(weight), L2(1.0).toward("source"), to)
    before = torch.zeros(500, dtype=dtype)
    assert Measured.of_gradient(part, gradient_pull(part, 1.0), before, weight - to).passed
    assert not Measured.of_gradient(part, gradient_pull(part, 1.0), before, 1.1 * (weight - to)).passed


def test_l1_is_pulled_by_its_strength() -> None:
    part = Held("weight", "new", nn.Parameter(torch.tensor([2.0, -3.0])), L1(0.5).toward("zero"), None)
    assert gradient_pull(part, 1.0).tolist() == [0.5, -0.5]
    assert prox_pull(part, part.weight(), torch.tensor(0.1, dtype=torch.float64)).tolist() == pytest.approx(
        [-0.05, 0.05]
    )

import pytest
import torch

from tether.penalties.base import Penalty
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.pull import Pull


def test_the_interface_is_never_built():
    with pytest.raises(TypeError, match="abstract"):
        Penalty()


def test_a_penalty_and_its_reference_are_a_pull():
    assert L2(1.0).toward("zero") == Pull(L2(1.0), "zero")
    assert L2(1.0).toward("zero").scaled(0.5) == Pull(L2(0.5), "zero")
    assert repr((L2(1.0) + L1(0.5)).toward("source")) == '(L2(1.0) + L1(0.5)).toward("source")'


def test_a_penalty_is_a_value():
    with pytest.raises(AttributeError):
        L2(1.0).strength = 2.0
    assert {L2(1.0): "a"}[L2(1.0)] == "a"


def test_a_strength_becomes_a_float():
    assert repr(L2(1)) == "L2(1.0)"


def test_a_tensor_of_zeros_is_measured_at_the_size_it_is_likely_to_reach():
    assert L1(1e-3).relative_pull(torch.zeros(10, 4), 1e-2) == pytest.approx(1e-5 / 0.5)
    assert L1(1e-3).relative_pull(torch.zeros(4), 1e-2) == pytest.approx(1e-5 / 0.5)

import pytest
import torch
from torch import nn

from tether.held import Held, add_gradient_, alike, prox_
from tether.penalties.l1 import L1
from tether.penalties.l2 import L2
from tether.penalties.pull import Pull


def held(name: str, parameter: nn.Parameter, *, rows: list[int] | None = None, source: bool = True) -> Held:
    pull = Pull(L2(0.5), "source" if source else "zero")
    index = None if rows is None else torch.tensor(rows)
    shape = parameter.shape if rows is None else (len(rows), *parameter.shape[1:])
    return Held(name, "transferred", parameter, pull, torch.ones(shape) if source else None, index)


def parameter(*shape: int) -> nn.Parameter:
    found = nn.Parameter(torch.randn(*shape))
    found.grad = torch.randn(*shape)
    return found


def test_a_whole_parameter_is_its_own_memory():
    whole = held("w", parameter(3, 2))
    assert whole.weight().data_ptr() == whole.parameter.data_ptr()
    assert whole.gradient().data_ptr() == whole.parameter.grad.data_ptr()
    assert whole.key == "w"


def test_the_displacement_is_differentiable_in_the_held_rows_alone():
    some = held("w", parameter(3, 2), rows=[0, 2])
    assert some.key == "w[transferred]"
    torch.testing.assert_close(some.displacement(), some.parameter[[0, 2]] - 1)
    (grad,) = torch.autograd.grad(some.displacement().sum(), some.parameter)
    assert grad.tolist() == [[1, 1], [0, 0], [1, 1]]


def test_the_displacement_of_narrow_weights_is_taken_in_float32():
    weight = nn.Parameter(torch.full((1,), 1.0078125, dtype=torch.bfloat16))
    narrow = Held("w", "transferred", weight, Pull(L2(1.0), "source"), torch.ones(1))
    assert narrow.displacement().dtype == torch.float32
    assert float(narrow.displacement().detach()) == 0.0078125


def test_the_reference_follows_the_parameter_and_is_moved_once():
    part = held("w", parameter(2))
    part.parameter.data = part.parameter.data.double()
    moved = part.aligned()
    assert moved.dtype == torch.float64
    assert part.aligned() is moved


def test_what_one_call_can_act_on_is_put_together():
    a, b, c = held("a", parameter(2)), held("b", parameter(3)), held("c", parameter(2), source=False)
    d = Held("d", "transferred", parameter(2), Pull(L1(0.5), "source"), torch.ones(2))
    found = alike([(a, 1.0), (c, 1.0), (b, 1.0), (d, 1.0)])
    assert [([part.name for part in parts], what) for parts, what in found] == [
        (["a", "b"], 1.0),
        (["c"], 1.0),
        (["d"], 1.0),
    ]
    assert len(alike([(a, 1.0), (b, -1.0)])) == 2


@pytest.mark.parametrize("source", [True, False])
def test_rows_are_pulled_and_the_others_left(source: bool):
    some = held("w", parameter(4, 3), rows=[1, 3], source=source)
    weight, grad = some.parameter.detach().clone(), some.parameter.grad.clone()
    target = 1.0 if source else 0.0
    expected = grad.clone()
    expected[[1, 3]] += 2.0 * 0.5 * (weight[[1, 3]] - target)
    add_gradient_([some], 2.0)
    torch.testing.assert_close(some.parameter.grad, expected)
    assert torch.equal(some.parameter.grad[[0, 2]], grad[[0, 2]])

    expected = weight.clone()
    expected[[1, 3]] = target + (weight[[1, 3]] - target) / (1 + 0.4 * 0.5)
    prox_([some], 0.4)
    torch.testing.assert_close(some.parameter.detach(), expected)
    assert torch.equal(some.parameter.detach()[[0, 2]], weight[[0, 2]])

"""What every penalty and every sum with a closed form obeys, in float64."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tether.errors import PlanError
from tether.penalties.ball import FrobeniusBall, MarsBall
from tether.penalties.base import Penalty
from tether.penalties.frozen import Frozen
from tether.penalties.group import GroupLasso
from tether.penalties.l1 import L1
from tether.penalties.l2 import CPU_PIECE, L2
from tether.penalties.text import PENALTIES, parse
from tether.penalties.weighted import Weighted


def registered() -> list[Penalty]:
    made = []
    for name in PENALTIES:
        needed = {"strength": 0.7, "radius": 0.9}
        given = {key: needed[key] for key in inspect.signature(PENALTIES[name]).parameters if key in needed}
        made.append(PENALTIES[name](**given))
    return made


class Named(Weighted):
    """Weighted with an importance for whatever shape it meets, so that it can stand among the others."""

    def __init__(self, strength: float = 0.7) -> None:
        super().__init__(strength, torch.ones(()))

    def _for(self, delta: Tensor) -> Tensor:
        return torch.linspace(0.1, 1.3, delta.numel()).reshape(delta.shape).to(delta)

    def scaled(self, factor: float) -> "Named":
        return Named(factor * self.strength)


VIEWS = [GroupLasso(0.7, view) for view in ("neurons", "channels", "layers")]
SUMS = [
    L2(0.5) + L1(0.3),
    L2(0.5) + GroupLasso(0.2),
    L1(0.3) + GroupLasso(0.2),
    L2(0.5) + 0.5 * L1(0.6) + GroupLasso(0.2),
    L1(0.2) + GroupLasso(0.2) + GroupLasso(0.1, "layers"),
    GroupLasso(0.2, "channels") + GroupLasso(0.1, "layers"),
    L2(0.5) + MarsBall(0.9),
    L2(0.5) + L1(0.1) + MarsBall(0.9),
    L2(0.5) + FrobeniusBall(0.9),
    L1(0.1) + GroupLasso(0.1) + FrobeniusBall(0.9),
]
WRITTEN = [*registered(), *VIEWS, *SUMS]  # those that a spec can hold
EVERY = [*WRITTEN, Named(), Named() + L1(0.3), L2(0.5) + Named() + L1(0.3)]
SMOOTH = [penalty for penalty in EVERY if penalty.coupled]
CONSTRAINTS = [penalty for penalty in EVERY if not penalty.coupled]
SHAPES = [(), (7,), (4, 5), (3, 2, 3, 3)]
every_penalty = pytest.mark.parametrize("penalty", EVERY, ids=repr)
every_written = pytest.mark.parametrize("penalty", WRITTEN, ids=repr)
every_constraint = pytest.mark.parametrize("penalty", CONSTRAINTS, ids=repr)
every_elementwise = pytest.mark.parametrize("penalty", [p for p in EVERY if p.elementwise], ids=repr)
every_gradient = pytest.mark.parametrize("penalty", SMOOTH, ids=repr)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_kind_of_number = pytest.mark.parametrize("number", [float, torch.tensor], ids=["float", "tensor"])
referenced = pytest.mark.parametrize("source", [False, True], ids=["zero", "source"])

deltas = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=6, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64).reshape(2, 3)
)


def normal(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def moreau(penalty: Penalty, x: Tensor, delta: Tensor, step: float) -> Tensor:
    return step * penalty.value(x) + (x - delta).square().sum() / 2


@every_penalty
@every_shape
def test_value_is_zero_at_the_reference_and_nowhere_below(penalty, shape):
    assert penalty.value(torch.zeros(shape, dtype=torch.float64)) == 0
    assert penalty.value(10 * normal(shape)) > 0


@every_gradient
@every_shape
def test_gradient_is_autograds(penalty, shape):
    delta = normal(shape).requires_grad_()
    (expected,) = torch.autograd.grad(penalty.value(delta), delta)
    torch.testing.assert_close(penalty.grad(delta.detach()), expected, rtol=1e-12, atol=1e-14)


@every_gradient
@every_shape
def test_gradient_is_zero_at_the_reference(penalty, shape):
    at_reference = torch.zeros(shape, dtype=torch.float64)
    assert torch.equal(penalty.grad(at_reference), at_reference)


@every_constraint
@every_shape
def test_a_constraint_is_kept_by_its_prox_and_has_no_gradient(penalty, shape):
    delta = 10 * normal(shape)
    assert penalty.prox(delta, 0.1).norm() < delta.norm()
    assert penalty.value(penalty.prox(delta, 0.1)) < torch.inf == penalty.value(delta)
    with pytest.raises(PlanError, match="no gradient"):
        penalty.grad(delta)


@every_constraint
def test_a_constraint_leaves_what_it_allows(penalty):
    delta = 1e-3 * normal((3, 4))
    alone = penalty if not hasattr(penalty, "terms") else penalty.terms[-1]
    if not isinstance(alone, Frozen):
        assert torch.equal(alone.prox(delta, 0.1), delta)


@every_elementwise
def test_an_elementwise_prox_takes_a_step_for_each_value(penalty):
    delta, steps = normal((3, 4)), torch.rand(3, 4, dtype=torch.float64)
    found = penalty.prox(delta, steps)
    for i, j in ((0, 0), (1, 2), (2, 3)):
        torch.testing.assert_close(found[i, j], penalty.prox(delta, float(steps[i, j]))[i, j], rtol=1e-12, atol=0)


@every_penalty
@given(delta=deltas, other=deltas, step=st.floats(1e-3, 10))
def test_prox_minimises_its_own_objective(penalty, delta, other, step):
    """The objective is 1-strongly convex, so elsewhere it is higher by at least half the squared distance."""
    found = penalty.prox(delta, step)
    lowest = moreau(penalty, found, delta, step)
    for x in (other, found + 1e-3 * other, delta, torch.zeros_like(delta)):
        slack = 1e-12 * (1 + lowest)  # rounding of sums of a few squares
        inside = penalty.prox(x, step) if not penalty.coupled else x  # elsewhere a constraint is infinite
        height = moreau(penalty, inside, delta, step)
        assert height >= lowest + (inside - found).square().sum() / 2 - slack


@every_penalty
@pytest.mark.parametrize("delta", [[[0.8, -0.3]], [[0.05, 0.1]], [[1.4], [-0.6]], [[-1.0, 0.0]]], ids=str)
def test_prox_is_lowest_on_a_grid(penalty, delta):
    delta, step = torch.tensor(delta, dtype=torch.float64), 0.4
    axis = torch.arange(-60, 61, dtype=torch.float64) / 40  # holds 0 exactly
    grid = torch.cartesian_prod(axis, axis).reshape(-1, *delta.shape)
    heights = torch.vmap(lambda x: moreau(penalty, x, delta, step))(grid)
    found = penalty.prox(delta, step)
    assert moreau(penalty, found, delta, step) <= heights.min() + 1e-14
    # a constraint's nearest grid point within may be a diagonal away
    assert (grid[heights.argmin()] - found).abs().max() <= 2 * (axis[1] - axis[0])


@every_penalty
@given(x=deltas, y=deltas, step=st.floats(1e-3, 10))
def test_prox_is_firmly_non_expansive(penalty, x, y, step):
    moved = penalty.prox(x, step) - penalty.prox(y, step)
    assert moved.square().sum() <= (moved * (x - y)).sum() + 1e-12


@every_penalty
@given(x=deltas, y=deltas)
def test_it_is_convex(penalty, x, y):
    if not penalty.coupled:
        x, y = penalty.prox(x, 1.0), penalty.prox(y, 1.0)
    assert penalty.value((x + y) / 2) <= (penalty.value(x) + penalty.value(y)) / 2 + 1e-12


@every_penalty
def test_scaling(penalty):
    delta = normal((4, 5))
    inside = penalty.prox(delta, 0.1) if not penalty.coupled else delta
    assert repr(2.0 * penalty) == repr(penalty * 2.0) == repr(penalty.scaled(2.0))
    torch.testing.assert_close((2.0 * penalty).value(inside), 2 * penalty.value(inside), rtol=1e-14, atol=0)
    torch.testing.assert_close((2.0 * penalty).prox(delta, 0.1), penalty.prox(delta, 0.2), rtol=1e-12, atol=1e-14)


@every_gradient
def test_nothing_of_it_is_null(penalty):
    assert not penalty.null
    assert (0.0 * penalty).null


@every_written
def test_its_text_reads_back(penalty):
    assert parse(repr(penalty)) == penalty
    pull = penalty.toward("zero")
    assert parse(repr(pull)) == pull


@every_written
def test_an_equal_one_hashes_alike(penalty):
    assert len({penalty, parse(repr(penalty))}) == 1


def layouts(shape: tuple[int, ...]) -> list[Tensor]:
    """The same shape as it may lie in memory."""
    found = [normal(shape)]
    if len(shape) == 4:
        found.append(normal(shape).to(memory_format=torch.channels_last))
    if len(shape) > 1:
        found.append(normal(shape[::-1]).permute(*range(len(shape))[::-1]))
    return found


def tensors() -> list[Tensor]:
    found = [t for shape in SHAPES for t in layouts(shape)]
    return [*found, normal((CPU_PIECE + 5,)), normal((2, CPU_PIECE))]


@every_penalty
@every_kind_of_number
@referenced
def test_prox_in_place_is_the_prox(penalty, number, source):
    weights = tensors()
    references = [torch.randn_like(w) for w in weights] if source else None
    deltas = [w - r for w, r in zip(weights, references, strict=True)] if source else weights
    expected = [penalty.prox(delta, 0.3) for delta in deltas]
    if source:
        expected = [r + e for r, e in zip(references, expected, strict=True)]
    penalty.prox_(weights, references, number(0.3))
    # a float32 step tensor holds 0.3 to 1e-8
    torch.testing.assert_close(weights, expected, rtol=1e-6 if number is torch.tensor else 1e-12, atol=1e-7)


@every_gradient
@every_kind_of_number
@referenced
def test_gradient_in_place_is_the_gradient(penalty, number, source):
    weights = tensors()
    references = [torch.randn_like(w) for w in weights] if source else None
    grads = [torch.randn_like(w) for w in weights]
    deltas = [w - r for w, r in zip(weights, references, strict=True)] if source else weights
    expected = [g - 0.25 * penalty.grad(delta) for g, delta in zip(grads, deltas, strict=True)]
    penalty.add_gradient_(grads, weights, references, number(-0.25))
    torch.testing.assert_close(grads, expected, rtol=1e-7, atol=1e-12)


@every_penalty
@referenced
def test_a_step_tensor_of_zero_changes_no_value(penalty, source):
    weights = [torch.randn(4, 5), torch.randn(3), torch.tensor([0.0, 1e-30, -1e30])]
    before = [w.clone() for w in weights]
    penalty.prox_(weights, [torch.randn_like(w) for w in weights] if source else None, torch.tensor(0.0))
    assert all(map(torch.equal, weights, before))


@every_written
@pytest.mark.parametrize("step", [1e-3, 0.5])
def test_relative_pull_is_the_median_shrink(penalty, step):
    weight = normal((6, 5))
    shrink = 1 - penalty.prox(weight, step) / weight
    assert penalty.relative_pull(weight, step) == pytest.approx(float(shrink.flatten().median()), rel=1e-9)
    likely = torch.full((3, 4), 0.5, dtype=torch.float64)  # all zero: measured at fan-in^(−½)
    assert penalty.relative_pull(torch.zeros(3, 4), step) == pytest.approx(penalty.relative_pull(likely, step))

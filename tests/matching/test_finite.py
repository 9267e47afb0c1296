import pytest
import torch
from torch import nn

from tether import transfer
from tether.errors import MatchError
from tether.matching.fate import Pair
from tether.matching.finite import require_finite

NAN, INF = float("nan"), float("inf")


def pair(name: str = "w", *, is_buffer: bool = False) -> Pair:
    return Pair(name, name, (3,), is_buffer=is_buffer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_one_bad_value_is_found_in_every_dtype(dtype: torch.dtype, bad: float) -> None:
    value = torch.ones(40, 3)
    require_finite([pair()], {"w": value.to(dtype)}, "it")
    value[17, 1] = bad
    with pytest.raises(MatchError, match="`w` of `it` has 1 value that is not finite"):
        require_finite([pair()], {"w": value.to(dtype)}, "it")


def test_all_are_counted_and_the_first_is_named() -> None:
    tensors = {"a": torch.ones(3), "b": torch.tensor([NAN, 1, INF]), "c": torch.tensor([NAN, NAN, NAN])}
    with pytest.raises(MatchError) as refusal:
        require_finite([pair(name) for name in tensors], tensors, "it")
    assert refusal.value.what == "`b` of `it` has 2 values of 3 that are not finite, and 1 more tensors have some"
    assert refusal.value.fix.endswith("--exclude b")


@pytest.mark.parametrize("value", [torch.tensor([2**62]), torch.tensor([True]), torch.ones(0), torch.tensor([1 + 2j])])
def test_what_is_finite_passes(value: torch.Tensor) -> None:
    require_finite([pair()], {"w": value}, "it")


def test_complex_values_are_looked_at() -> None:
    with pytest.raises(MatchError):
        require_finite([pair()], {"w": torch.tensor([complex(1, NAN)])}, "it")


def test_a_mask_may_be_infinite_and_a_statistic_may_not() -> None:
    mask = torch.tensor([0.0, -INF])
    require_finite([pair("mask", is_buffer=True)], {"mask": mask}, "it")
    for name, value in (("mask", torch.tensor([NAN, -INF])), ("bn.running_var", mask)):
        with pytest.raises(MatchError, match="1 value"):
            require_finite([pair(name, is_buffer=True)], {name: value}, "it")


def test_a_transfer_refuses_and_changes_nothing() -> None:
    source, model = nn.Linear(3, 2), nn.Linear(3, 2)
    with torch.no_grad():
        source.weight[1, 2] = NAN
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(MatchError, match="`weight`"):
        transfer(source, into=model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert transfer(source, into=model, exclude="weight", coverage=0.1).match.copied == 2

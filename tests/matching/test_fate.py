import pytest
import torch

from tether.errors import MatchError
from tether.matching.fate import Miss, Pair, decide
from tether.matching.head import Head
from tether.matching.slots import Slot

NO_HEAD = Head(())


def slot(*shape, dtype=torch.float32):
    return Slot("layer.weight", torch.zeros(shape, dtype=dtype), is_buffer=False)


def fate(value, into, *, excluded=(), head=NO_HEAD):
    return decide(into, "old.weight", value, excluded=excluded, head=head)


def test_equal_shape_and_dtype_is_copied_whole():
    assert fate(torch.ones(3, 2), slot(3, 2)) == Pair("layer.weight", "old.weight", (3, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_are_cast(dtype):
    assert fate(torch.ones(3, dtype=dtype), slot(3)).cast == f"{dtype} to float32".removeprefix("torch.")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_what_is_no_plain_float_is_not_cast_to_one(dtype):
    missed = fate(torch.zeros(3).to(dtype), slot(3))
    assert missed.reason == "dtype"
    assert missed.detail == f"{dtype} in the source, float32 in the model".removeprefix("torch.")


def test_integers_go_into_the_same_integers_alone():
    assert isinstance(fate(torch.tensor(3), slot(dtype=torch.int64)), Pair)
    assert fate(torch.tensor(3, dtype=torch.int32), slot(dtype=torch.int64)).reason == "dtype"


@pytest.mark.parametrize("shape", [(2, 3), (3,), (3, 2, 1)])
def test_another_shape_is_a_miss(shape):
    assert fate(torch.ones(shape), slot(3, 2)) == Miss(
        "layer.weight", (3, 2), "shape", f"{shape} in the source, (3, 2) in the model"
    )


def test_a_scalar_is_no_vector_of_one():
    assert fate(torch.ones(()), slot(1)).reason == "shape"


def test_excluded_goes_before_all_else():
    assert fate(torch.ones(9), slot(3), excluded=["layer.weight"]).reason == "excluded"


def test_nothing_to_copy_is_missing():
    assert decide(slot(3), None, None, excluded=(), head=NO_HEAD).reason == "missing"


def test_rows_count_for_the_values_that_are_copied():
    head = Head(("layer.weight",), ("a", "b", "c"), ("c", "x"))
    pair = fate(torch.ones(2, 5), slot(3, 5), head=head)
    assert (pair.rows, pair.values) == (((2, 0),), 5)


def test_rows_and_class_names_must_be_as_many():
    head = Head(("layer.weight",), ("a", "b", "c"), ("c", "x"))
    with pytest.raises(MatchError, match="has 4 rows, and 2 source classes are named"):
        fate(torch.ones(4, 5), slot(3, 5), head=head)

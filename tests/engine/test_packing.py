import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tether.engine.packing import pack, unpack
from tether.errors import CheckpointError

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
keys = st.text(max_size=3) | st.integers() | st.sampled_from(["$tensor", "$dict", "$tuple", "$float"])
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


@given(trees)
def test_a_tree_comes_back_equal_and_of_the_same_types(tree: object) -> None:
    packed, tensors = pack(tree)
    again = unpack(json.loads(json.dumps(packed, allow_nan=False)), tensors)
    assert again == tree
    assert repr(again) == repr(tree)


def test_tensors_come_back_by_their_path() -> None:
    tree = {"state": {0: {"m": torch.ones(2)}, 1: {"m": torch.zeros(1)}}, "rng": (torch.arange(3), [torch.ones(1)])}
    packed, tensors = pack(tree)
    assert set(tensors) == {"/state/0/m", "/state/1/m", "/rng/0", "/rng/1/0"}
    again = unpack(json.loads(json.dumps(packed)), tensors)
    assert torch.equal(again["state"][1]["m"], torch.zeros(1))
    assert torch.equal(again["rng"][1][0], torch.ones(1))


def test_what_json_cannot_hold_is_an_error_of_the_caller() -> None:
    with pytest.raises(TypeError, match="`/a`: a set cannot be kept"):
        pack({"a": {1}})


def test_a_tensor_that_is_missing_is_told() -> None:
    with pytest.raises(CheckpointError, match="`x` is missing"):
        unpack({"$tensor": "x"}, {})


def test_two_tensors_never_share_a_path() -> None:
    tree = {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}, 1: torch.ones(2), "1": torch.zeros(2)}
    packed, tensors = pack(tree)
    again = unpack(json.loads(json.dumps(packed)), tensors)
    for key in ("a/b", 1, "1"):
        assert torch.equal(again[key], tree[key])
    assert torch.equal(again["a"]["b"], torch.zeros(1))

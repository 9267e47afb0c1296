import numpy as np
import pytest

from tether.data.duplicates import duplicates
from tether.data.pictures import Pictures


def shades(values: list[int], labels: list[int]) -> Pictures:
    return Pictures.of_arrays("p", np.uint8(values)[:, None, None], labels, ["a", "b"])


@pytest.mark.parametrize(
    ("values", "labels", "found"),
    [
        ([0, 1, 2, 3, 4, 5], [0] * 6, []),
        ([0, 1, 2, 3, 0, 5], [0] * 6, ["in train and test: 1, first `p/0` and `p/4`"]),
        ([0, 1, 0, 3, 4, 5], [0] * 6, ["in train and validation: 1, first `p/0` and `p/2`"]),
        ([0, 1, 2, 3, 2, 3], [0] * 6, ["in validation and test: 2, first `p/2` and `p/4`"]),
        ([0, 0, 2, 3, 4, 5], [0] * 6, ["twice in train: 1, first `p/0` and `p/1`"]),
        ([0, 1, 2, 3, 4, 4], [0] * 6, []),
        (
            [0, 1, 2, 3, 4, 1],
            [0, 1, 0, 1, 0, 0],
            ["in train and test: 1, first `p/1` and `p/5`", "under two classes: 1, first `p/1` and `p/5`"],
        ),
    ],
)
def test_the_same_content_is_counted_by_where_it_stands(values: list[int], labels: list[int], found: list[str]) -> None:
    parts = {"train": np.array([0, 1]), "validation": np.array([2, 3]), "test": np.array([4, 5])}
    assert duplicates(shades(values, labels), parts) == [f"The same file {text}." for text in found]


def test_pictures_that_are_in_no_part_do_not_count() -> None:
    assert duplicates(shades([0, 0, 1], [0, 1, 1]), {"train": np.array([0]), "test": np.array([2])}) == []

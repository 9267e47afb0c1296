import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from tether.errors import Notice
from tether.shelf import Shelf, current, shelf

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)
ABOUT = {"of": "twelve"}


def never() -> np.ndarray:
    raise AssertionError("it was kept already")


def test_what_is_kept_is_mapped_and_not_made_again(tmp_path: Path) -> None:
    made = Shelf(tmp_path / "a" / "b").array(ABOUT, lambda: VALUES)
    np.testing.assert_array_equal(made, VALUES)
    for one in (Shelf(tmp_path / "a" / "b"), Shelf(tmp_path / "a" / "b")):
        found = one.array(ABOUT, never)
        assert isinstance(found, np.memmap)
        assert found.dtype == VALUES.dtype
        np.testing.assert_array_equal(found, VALUES)
        assert one.array(ABOUT, never) is found
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_another_thing_is_another_file(tmp_path: Path) -> None:
    one = Shelf(tmp_path)
    one.array({"a": 1, "b": 2}, lambda: VALUES)
    one.array({"b": 2, "a": 1}, never)
    np.testing.assert_array_equal(one.array({"a": 1, "b": 3}, lambda: 2 * VALUES), 2 * VALUES)


@pytest.mark.parametrize("kept", [0, 1, 31, 32, 40, 100, 150, -1])
def test_a_torn_file_is_made_again(tmp_path: Path, kept: int) -> None:
    Shelf(tmp_path).array(ABOUT, lambda: VALUES)
    (path,) = tmp_path.glob("*.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    np.testing.assert_array_equal(Shelf(tmp_path).array(ABOUT, lambda: VALUES), VALUES)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("place", [0, 9, 60, 130, 170, -33, -1])
def test_a_damaged_file_is_made_again(tmp_path: Path, place: int) -> None:
    Shelf(tmp_path).array(ABOUT, lambda: VALUES)
    (path,) = tmp_path.glob("*.npy")
    whole = bytearray(path.read_bytes())
    whole[place] ^= 4
    path.write_bytes(whole)
    np.testing.assert_array_equal(Shelf(tmp_path).array(ABOUT, lambda: VALUES), VALUES)
    Shelf(tmp_path).array(ABOUT, never)


def test_numpy_reads_the_file_as_it_is(tmp_path: Path) -> None:
    Shelf(tmp_path).array(ABOUT, lambda: VALUES[:, ::2])
    np.testing.assert_array_equal(np.load(next(tmp_path.glob("*.npy"))), VALUES[:, ::2])


def test_where_nothing_can_be_written_the_array_is_still_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(Notice, match="is not kept"):
        found = Shelf(tmp_path / "file").array(ABOUT, lambda: VALUES)
    np.testing.assert_array_equal(found, VALUES)


def test_what_fails_while_it_is_made_leaves_the_shelf_usable(tmp_path: Path) -> None:
    one = Shelf(tmp_path)
    with pytest.raises(AssertionError):
        one.array(ABOUT, never)
    np.testing.assert_array_equal(one.array(ABOUT, lambda: VALUES), VALUES)


def test_a_shelf_is_in_use_inside_its_context_alone(tmp_path: Path) -> None:
    assert current() is None
    with shelf(tmp_path) as outer:
        assert current() is outer
        with shelf(tmp_path / "inner") as inner:
            assert current() is inner
        assert current() is outer
    assert current() is None


def _taken_from(folder: Path) -> None:
    np.testing.assert_array_equal(Shelf(folder).array(ABOUT, never), VALUES)


def test_another_process_waits_for_the_one_that_makes_it(tmp_path: Path) -> None:
    other = multiprocessing.get_context("fork").Process(target=_taken_from, args=(tmp_path,))

    def make() -> np.ndarray:
        other.start()
        other.join(0.5)  # one that does not wait finds nothing, and ends
        return VALUES

    Shelf(tmp_path).array(ABOUT, make)
    other.join()
    assert other.exitcode == 0

import hashlib
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from tether.data.pictures import Pictures
from tether.data.pixels import Seen
from tether.files import file_digest


def dots(count: int = 6, classes: int = 2) -> Pictures:
    values = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2)
    return Pictures.of_arrays("dot", values, np.arange(count) % classes, [f"class{c:02}" for c in range(classes)])


def test_arrays_are_read_as_they_are() -> None:
    found = np.asarray(dots().read(2))
    np.testing.assert_array_equal(found, [[8, 9], [10, 11]])


def test_files_are_labelled_by_their_class(folder, tmp_path: Path) -> None:
    folder(b=2, a=1)
    pictures = Pictures.of_files(tmp_path, ["b/00.png", "a/00.png"], ["b", "a"], classes={"b", "a", "c"})
    assert pictures.classes == ("a", "b", "c")
    assert pictures.labels.dtype == np.int64
    assert pictures.labels.tolist() == [1, 0]
    assert [pictures.content(i) for i in range(2)] == [file_digest(tmp_path / name) for name in pictures.names]
    assert pictures.read(1).size == (12, 10)


def test_what_is_left_out_moves_the_others_up() -> None:
    pictures = replace(dots(), split=("train", "test") * 3).without([(1, "torn"), (4, "empty")])
    assert pictures.names == ("dot/0", "dot/2", "dot/3", "dot/5")
    assert pictures.labels.tolist() == [0, 0, 1, 1]
    assert pictures.split == ("train", "train", "test", "test")
    assert pictures.skipped == (("dot/1", "torn"), ("dot/4", "empty"))
    assert np.asarray(pictures.read(1))[0, 0] == 8
    again = pictures.without([(0, "late")])
    assert [name for name, _ in again.skipped] == ["dot/1", "dot/4", "dot/0"]
    assert np.asarray(again.read(0))[0, 0] == 8


def test_the_digest_is_of_names_classes_and_contents() -> None:
    pictures = dots(2)
    first, second = (hashlib.sha256(bytes(range(4 * i, 4 * i + 4))).hexdigest() for i in range(2))
    rows = json.dumps([["dot/0", "class00", first], ["dot/1", "class01", second]])
    assert pictures.digest == hashlib.sha256(rows.encode()).hexdigest()
    changed = [
        replace(pictures, names=("dot/0", "dot/2")),
        replace(pictures, labels=pictures.labels[::-1]),
        replace(pictures, seen=(Seen(first), Seen(first))),
    ]
    assert len({pictures.digest, *(other.digest for other in changed)}) == 4


def test_it_prints_as_one_screen() -> None:
    pictures = replace(dots(100, 50), skipped=(("dot/9", "torn"),), notes=("A note.",))
    lines = str(pictures).splitlines()
    assert lines[0] == "100 pictures of 50 classes"
    assert "  … and 30 classes more" in lines
    assert lines[-2:] == ["1 left out because they cannot be read, first `dot/9` (torn).", "A note."]
    assert len(lines) <= 25


def test_a_split_of_its_own_is_printed_by_class() -> None:
    pictures = replace(dots(), split=("train", "train", "train", "test", "test", "test"))
    lines = [line.split() for line in str(pictures).splitlines()]
    assert lines == [
        ["6", "pictures", "of", "2", "classes"],
        ["train", "test"],
        ["class00", "2", "1"],
        ["class01", "1", "2"],
    ]
    assert pictures.counts("test").tolist() == [1, 2]
    assert pictures.counts().tolist() == [3, 3]
    assert pictures.own("test").tolist() == [3, 4, 5]


def test_without_a_split_of_its_own_all_are_for_training() -> None:
    assert dots().own("train").tolist() == list(range(6))
    assert dots().counts("test").tolist() == [0, 0]


def test_it_is_frozen_and_can_be_sent_to_another_process() -> None:
    pictures = dots().without([(0, "torn")])
    with pytest.raises(FrozenInstanceError):
        pictures.names = ()
    sent = pickle.loads(pickle.dumps(pictures))
    assert sent.digest == pictures.digest
    np.testing.assert_array_equal(np.asarray(sent.read(0)), np.asarray(pictures.read(0)))

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tether.data.loading import load
from tether.data.pictures import Pictures
from tether.data.pixels import Seen
from tether.data.split import Split, split
from tether.errors import DataError, SettingsError
from tether.spec import DataSpec


def labelled(*counts: int) -> Pictures:
    labels = np.repeat(np.arange(len(counts)), counts)
    classes = [f"class{label}" for label in range(len(counts))]
    return Pictures.of_arrays("p", np.zeros((sum(counts), 2, 2), np.uint8), labels, classes)


def parted(**parts: tuple[int, ...]) -> Pictures:
    """Pictures with so many of each class in each part."""
    rows = [(label, part) for part, counts in parts.items() for label, n in enumerate(counts) for _ in range(n)]
    pictures = labelled(*np.bincount([label for label, _ in rows]))
    return replace(pictures, labels=np.array([row[0] for row in rows]), split=tuple(row[1] for row in rows))


def spec(**settings) -> DataSpec:
    return DataSpec(path="x", **settings)


def counts(pictures: Pictures, indices: np.ndarray) -> list[int]:
    return np.bincount(pictures.labels[indices], minlength=len(pictures.classes)).tolist()


def everything(found: Split) -> list[int]:
    return np.concatenate([found.train, found.validation, found.test]).tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "settings",
    [{}, {"test": 0.5}, {"validation": 0.3}, {"validation": 0, "test": 0}, {"per_class": 12}, {"per_class": 3}],
)
def test_parts_are_ascending_disjoint_and_complete(settings, seed: int) -> None:
    found = split(labelled(30, 17, 100), spec(**settings), seed)
    assert sorted(everything(found)) == list(range(147))
    for part in (found.train, found.validation, found.test):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


def test_shares_hold_in_every_class() -> None:
    pictures = labelled(50, 20, 100)
    found = split(pictures, spec(test=0.2, validation=0.25), 0)
    assert counts(pictures, found.test) == [10, 4, 20]
    assert counts(pictures, found.validation) == [10, 4, 20]
    assert counts(pictures, found.train) == [30, 12, 60]
    assert found.notes == ()


def test_a_small_class_keeps_one_on_each_side() -> None:
    pictures = labelled(2, 40)
    assert counts(pictures, split(pictures, spec(test=0.1), 0).test) == [1, 4]
    assert counts(pictures, split(pictures, spec(test=0.9), 0).train) == [1, 4]


def test_validation_is_taken_by_itself_from_ten_a_class() -> None:
    enough, few = labelled(13, 40), labelled(12, 40)
    found = split(enough, spec(), 0)
    assert counts(enough, found.validation) == [2, 6]
    assert found.notes == ()
    found = split(few, spec(), 0)  # of class0, 12 − 2 = 10 stay
    assert counts(few, found.validation) == [2, 6]
    found = split(few, spec(test=0.25), 0)
    assert len(found.validation) == 0
    assert found.notes == (
        "No validation part: class `class0` has 9 training pictures, fewer than 10, "
        "so epochs are fixed and the last one is taken.",
    )


def test_per_class_takes_so_many_and_tests_on_the_rest() -> None:
    pictures = labelled(30, 17, 100)
    found = split(pictures, spec(per_class=8), 0)
    assert counts(pictures, found.train) == [8, 8, 8]
    assert counts(pictures, found.test) == [22, 9, 92]
    found = split(pictures, spec(per_class=15), 0)
    assert counts(pictures, found.train) == [12, 12, 12]
    assert counts(pictures, found.validation) == [3, 3, 3]


def test_more_a_class_adds_to_the_fewer_and_leaves_the_share_s_test_alone() -> None:
    pictures = labelled(50, 40)
    shared = split(pictures, spec(test=0.2), 7)
    few, more = (split(pictures, spec(per_class=n, validation=0), 7) for n in (4, 20))
    assert set(few.train) < set(more.train)
    assert set(shared.test) < set(more.test) < set(few.test)


def test_the_data_s_own_parts_are_kept() -> None:
    pictures = parted(train=(20, 30), validation=(3, 2), test=(5, 4))
    found = split(pictures, spec(), 0)
    np.testing.assert_array_equal(found.train, np.arange(50))
    np.testing.assert_array_equal(found.validation, np.arange(50, 55))
    np.testing.assert_array_equal(found.test, np.arange(55, 64))
    assert found.notes == ("The test part is the data's own.", "The validation part is the data's own.")
    assert "data.validation = 0.5 is not used" in split(pictures, spec(validation=0.5), 0).notes[1]


def test_per_class_beside_a_test_of_its_own_leaves_the_rest_out() -> None:
    pictures = parted(train=(8, 30), test=(5, 4))
    found = split(pictures, spec(per_class=8), 0)
    assert counts(pictures, found.train) == [8, 8]
    np.testing.assert_array_equal(found.test, np.arange(38, 47))
    assert found.notes[1] == "Training pictures left out by per_class = 8: 22."


@pytest.mark.parametrize("settings", [{}, {"per_class": 8}, {"fraction": 0.5}, {"per_class": 12, "test": 0.4}])
def test_a_test_seed_draws_one_test_part_for_all_seeds(settings: dict) -> None:
    pictures = labelled(30, 40)
    found = [split(pictures, spec(test_seed=3, **settings), seed) for seed in range(5)]
    tested = split(pictures, spec(test=settings.get("test", 0.2)), 3).test
    for one in found:
        np.testing.assert_array_equal(one.test, tested)
        assert not set(one.test) & {*one.train, *one.validation}
    drawn = {one.train.tobytes() for one in found}
    assert len(drawn) == 5
    if "per_class" in settings:
        assert counts(pictures, np.concatenate([found[0].train, found[0].validation])) == [settings["per_class"]] * 2
        assert any("left out by per_class" in note for note in found[0].notes)


def test_more_a_class_than_a_fixed_test_leaves_names_both_ways_out() -> None:
    with pytest.raises(DataError, match=r"`class0` has too few pictures to train on \(5\)") as caught:
        split(labelled(10, 40), spec(test_seed=0, test=0.5, per_class=6), 0)
    assert caught.value.fix == "lower data.per_class or data.test, or add pictures of this class"


def test_a_fraction_takes_its_share_of_every_class_within_larger_ones() -> None:
    pictures = labelled(50, 25)
    few, more, whole = (split(pictures, spec(fraction=f, validation=0), 7) for f in (0.1, 0.5, 1.0))
    assert counts(pictures, few.train) == [4, 2]
    assert counts(pictures, more.train) == [20, 10]
    assert set(few.train) < set(more.train) < set(whole.train)
    np.testing.assert_array_equal(few.test, whole.test)
    np.testing.assert_array_equal(whole.train, split(pictures, spec(validation=0), 7).train)
    assert "Training pictures left out by fraction = 0.1: 54." in few.notes


def test_a_fraction_leaves_one_of_each_class() -> None:
    assert counts(labelled(50, 3), split(labelled(50, 3), spec(fraction=0.01, validation=0), 0).train) == [1, 1]


def test_a_fraction_of_a_train_part_of_its_own() -> None:
    pictures = parted(train=(8, 30), test=(5, 4))
    found = split(pictures, spec(fraction=0.5, validation=0), 0)
    assert counts(pictures, found.train) == [4, 15]
    assert counts(pictures, found.test) == [5, 4]


def test_train_and_validation_of_its_own_still_need_a_test() -> None:
    pictures = parted(train=(20, 30), validation=(3, 2))
    found = split(pictures, spec(), 0)
    assert counts(pictures, found.test) == [4, 6]
    np.testing.assert_array_equal(found.validation, np.arange(50, 55))


def test_no_test_is_said() -> None:
    assert split(labelled(20, 20), spec(test=0), 0).notes == ("No test part: data.test is 0.",)
    assert (
        split(labelled(20, 20), spec(validation=0), 0).notes[0].startswith("No validation part: data.validation is 0,")
    )


def test_the_seed_alone_decides_and_the_digest_of_names_is_the_order() -> None:
    pictures = labelled(9, 5)
    for seed in range(5):
        queue = sorted(range(9), key=lambda i, seed=seed: hashlib.sha256(f"{seed}/p/{i}".encode()).hexdigest())
        found = split(pictures, spec(per_class=3), seed)
        assert found.train[:3].tolist() == sorted(queue[-3:])
        assert everything(found) == everything(split(pictures, spec(per_class=3), seed))
    assert len({split(pictures, spec(per_class=3), seed).train.tobytes() for seed in range(20)}) > 10


def test_a_picture_left_out_moves_no_other() -> None:
    pictures = labelled(40, 40)
    whole = split(pictures, spec(per_class=5), 0)
    bad = int(whole.test[3])
    without = split(pictures.without([(bad, "torn")]), spec(per_class=5), 0)
    assert without.to_json()["train"] == whole.to_json()["train"]
    assert set(without.to_json()["test"]) == set(whole.to_json()["test"]) - {pictures.names[bad]}


def test_every_picture_is_drawn_as_often() -> None:
    pictures = labelled(10, 10)
    drawn = np.bincount(np.concatenate([split(pictures, spec(per_class=5), seed).train for seed in range(400)]))
    assert abs(drawn - 200).max() < 4 * 10  # four standard deviations of a binomial of 400 halves


@pytest.mark.parametrize(
    ("pictures", "settings", "what", "why"),
    [
        (
            labelled(20, 8, 3),
            {"per_class": 8},
            "`class1` has too few pictures to train on (8), and so have 1 more",
            "9",
        ),
        (parted(train=(9, 7), test=(2, 2)), {"per_class": 8}, "`class1` has too few pictures to train on (7)", "8"),
        (parted(train=(9, 1), validation=(2, 2)), {}, "`class1` has too few pictures to train on (1)", "2"),
        (labelled(9, 2), {"validation": 0.5}, "`class1` has too few pictures to train on (1)", "2"),
        (labelled(9, 9), {"per_class": 1, "validation": 0.2}, "`class0` has too few pictures to train on (1)", "2"),
    ],
)
def test_a_class_with_too_few_is_named(pictures: Pictures, settings, what: str, why: str) -> None:
    with pytest.raises(DataError) as caught:
        split(pictures, spec(**settings), 0)
    assert what in caught.value.what
    assert f"needs at least {why} in every class" in caught.value.why
    setting = list(settings or ["test"])[-1]
    assert f"lower data.{setting}, or add" in caught.value.fix


@pytest.mark.parametrize("share", ["test", "validation"])
def test_a_share_of_all_is_refused(share: str) -> None:
    with pytest.raises(SettingsError, match=f"data.{share} = 1 leaves nothing to train on"):
        split(labelled(20, 20), spec(**{share: 1}), 0)


def test_it_is_written_down_by_name() -> None:
    found = split(labelled(3, 3), spec(per_class=1), 0)
    written = json.loads(json.dumps(found.to_json()))
    assert list(written) == ["train", "validation", "test", "test_contents", "notes"]
    assert sorted(written["train"] + written["test"]) == [f"p/{i}" for i in range(6)]
    assert written["test_contents"] == [hashlib.sha256(bytes(4)).hexdigest()[:16]] * 4
    assert str(found).splitlines()[0] == "2 train · 0 validation · 4 test"


def test_what_was_found_in_the_data_is_told_with_the_split() -> None:
    pictures = replace(labelled(3, 3), notes=("A note.",), skipped=(("p/\x1b", "torn"),))
    notes = split(pictures, spec(test=0), 0).notes
    assert notes[:2] == (r"1 left out because they cannot be read, first `p/\x1b` (torn).", "A note.")


def test_the_same_file_on_both_sides_is_told_of() -> None:
    pictures = parted(train=(2, 2), test=(1, 1))
    seen = tuple(Seen(digest) for digest in "abcdcx")
    notes = split(replace(pictures, seen=seen), spec(), 0).notes
    assert notes[-2:] == (
        "The same file in train and test: 1, first `p/2` and `p/4`.",
        "The same file under two classes: 1, first `p/2` and `p/4`.",
    )


def test_a_class_without_test_pictures_is_named() -> None:
    notes = split(parted(train=(2, 2, 2), test=(1, 1, 0)), spec(), 0).notes
    assert "Classes without test pictures: 1, first `class2`." in notes
    assert not any("without test" in note for note in split(parted(train=(2, 2), test=(1, 1)), spec(), 0).notes)


def test_pictures_of_another_root_than_the_spec_s_are_refused() -> None:
    with pytest.raises(SettingsError, match="pictures were read from None"):
        split(labelled(5, 5), spec(root="photos"), 0)
    split(replace(labelled(5, 5), root="photos"), spec(root="photos"), 0)


def test_the_office_photos_eight_a_class(amazon: Path) -> None:
    pictures = load(str(amazon))
    found = split(pictures, spec(per_class=8), 0)
    assert counts(pictures, found.train) == [8] * 10
    assert len(found.test) == 878
    assert len(found.validation) == 0

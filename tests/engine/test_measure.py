import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tether import RunSpec, fit
from tether.data.loading import load
from tether.engine.measure import labelled_as, measure
from tether.errors import DataError, Notice
from tether.files import write_manifest

Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def run(settings: Settings, stripes: Any, tmp_path: Path) -> Path:
    """A run on a copy of the pictures, which a test may change."""
    shutil.copytree(stripes(), tmp_path / "pictures")
    fit(RunSpec.from_flags(settings({"data.path": str(tmp_path / "pictures"), "train.epochs": 20})), tmp_path / "run")
    return tmp_path / "run"


def test_measured_again_it_is_what_the_outcome_says(run: Path) -> None:
    assert measure(run).to_json() == json.loads((run / "outcome.json").read_text())["test"]


def test_with_other_data_all_of_it_is_measured(run: Path, stripes: Any) -> None:
    assert measure(run, str(stripes("abc", 20))).count == 60


def test_some_of_the_classes_in_another_number_are_the_models_own(run: Path, stripes: Any) -> None:
    both, b, c = (measure(run, str(stripes(kinds, 20))) for kinds in ("bc", "ab", "ac"))
    whole = measure(run, str(stripes("abc", 20)))
    assert whole.accuracy * 60 == pytest.approx((both.accuracy + b.accuracy + c.accuracy) * 40 / 2)


def test_a_class_that_the_model_does_not_know_is_named(run: Path, stripes: Any) -> None:
    with pytest.raises(DataError, match="has the class `d`, which the model does not know") as refusal:
        measure(run, str(stripes("bcd")))
    assert refusal.value.why == "its classes are a, b, c"


def test_test_pictures_that_are_gone_are_named(run: Path) -> None:
    names = json.loads((run / "split.json").read_text())["test"]
    (run.parent / "pictures" / names[3]).unlink()
    with pytest.raises(DataError, match=f"1 of 12 test pictures are not there any more, `{names[3]}` first"):
        measure(run)


def test_added_pictures_change_nothing(run: Path) -> None:
    before = measure(run)
    Image.new("L", (12, 12)).save(run.parent / "pictures/a/added.png")
    assert measure(run) == before


def test_an_unreadable_picture_is_refused_or_left_out(run: Path) -> None:
    (run.parent / "pictures/a/broken.png").write_text("no picture")
    with pytest.raises(DataError, match=r"`a/broken.png`"):
        measure(run)
    with pytest.warns(Notice, match="left out because they cannot be read: 1, first"):
        assert measure(run, skip_bad=True).count == 12


def test_a_run_that_left_pictures_out_is_measured_without_them_again(run: Path) -> None:
    (run.parent / "pictures/a/broken.png").write_text("no picture")
    spec = RunSpec.from_toml(run / "spec.toml").replace({"data.skip_bad": True, "train.epochs": 1})
    record = fit(spec, run.parent / "again")
    with pytest.warns(Notice, match="left out because they cannot be read: 1, first `a/broken"):
        assert measure(run.parent / "again").to_json() == record.outcome["test"]


def test_a_test_picture_of_the_same_size_and_another_content_is_named(run: Path) -> None:
    name = json.loads((run / "split.json").read_text())["test"][3]
    picture = run.parent / "pictures" / name
    size = picture.stat().st_size
    Image.new("L", (12, 12)).save(picture)
    picture.write_bytes(picture.read_bytes() + bytes(size - picture.stat().st_size))
    assert picture.stat().st_size == size
    with pytest.raises(DataError, match=f"not those of the run: another file now: 1 of 12, first `{name}`") as refusal:
        measure(run)
    assert refusal.value.fix.startswith("restore the data")


def test_a_run_of_an_earlier_version_says_that_it_cannot_be_told(run: Path) -> None:
    parts = json.loads((run / "split.json").read_text())
    del parts["test_contents"]
    (run / "split.json").write_text(json.dumps(parts | {"test_digest": "0" * 64}))
    write_manifest(run)
    with pytest.raises(DataError, match="does not say what the test pictures held") as refusal:
        measure(run)
    assert "an earlier version" in refusal.value.why
    assert "--data" in refusal.value.fix


def test_test_pictures_of_another_class_are_refused(settings: Settings, stripes: Any, tmp_path: Path) -> None:
    names = [f"{kind}/{number:02}.png" for kind in "abc" for number in range(10)]
    shutil.copytree(stripes(), tmp_path / "pictures")
    table = tmp_path / "pictures" / "table.csv"
    table.write_text("path,label\n" + "".join(f"{name},{name[0]}\n" for name in names))
    fit(RunSpec.from_flags(settings({"data.path": str(table), "train.epochs": 1})), tmp_path / "run")
    measure(tmp_path / "run")
    tested = json.loads((tmp_path / "run/split.json").read_text())["test"][0]
    table.write_text(table.read_text().replace(f"{tested},a\n", f"{tested},b\n"))
    with pytest.raises(DataError, match="the test pictures are not those of the run: of another class now"):
        measure(tmp_path / "run")


def test_of_data_with_parts_the_test_part_is_measured(run: Path, stripes: Any, tmp_path: Path) -> None:
    shutil.copytree(stripes("abc", 20), tmp_path / "parts/train")
    shutil.copytree(stripes("ab"), tmp_path / "parts/test")
    assert measure(run, str(tmp_path / "parts")) == measure(run, str(stripes("ab")))


def test_one_picture_of_one_class_is_enough_to_measure(run: Path, stripes: Any, tmp_path: Path) -> None:
    (tmp_path / "one/b").mkdir(parents=True)
    shutil.copy(stripes() / "b/00.png", tmp_path / "one/b")
    assert measure(run, str(tmp_path / "one")).count == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read"), ("[]", "cannot be read"), ('{"test": [], "test_digest": ""}', "has no test pictures")],
)
def test_without_a_list_of_test_pictures_data_are_asked_for(run: Path, text: str, message: str) -> None:
    (run / "split.json").write_text(text)
    write_manifest(run)
    with pytest.raises(DataError, match=message) as refusal:
        measure(run)
    assert refusal.value.fix == "--data with labelled pictures"


def test_labels_become_rows_of_the_models_head(stripes: Any) -> None:
    found = labelled_as(load(str(stripes("bc"))), ("c", "a", "b"), "here")
    assert found.classes == ("c", "a", "b")
    assert found.labels.tolist() == np.repeat([2, 0], 10).tolist()

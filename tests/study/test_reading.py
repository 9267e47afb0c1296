"""What a run left is read as its manifest says that it was written, or the file is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.runs import CLASSES, Fake, base, noisy
from tether.errors import CheckpointError, DataError, TetherError
from tether.files import write_manifest
from tether.study.comparison import METRICS
from tether.study.reading import MEASURES, Reading, kept

FILES = (
    "answers.safetensors",
    "drift.json",
    "environment.json",
    "manifest.json",
    "metrics.jsonl",
    "model.safetensors",
    "outcome.json",
    "plan.json",
    "spec.toml",
    "split.json",
)
MOVED = [{"name": "conv.weight", "norm": 3.0, "reference": 4.0, "relative": 0.75, "mars": 1.0}]


@pytest.fixture
def fake() -> Fake:
    return noisy(0, 0.7).of(moved=MOVED, rows=[{"epoch": 1, "loss": 0.5}], retention=0.4)


@pytest.fixture
def reading(fake: Fake, tmp_path: Path) -> Reading:
    fake.write(tmp_path / "l2-seed-3", base())
    return Reading(tmp_path / "l2-seed-3", 3)


def test_all_is_as_it_was_written(reading: Reading, fake: Fake) -> None:
    reading.verify()
    assert sorted(one.name for one in reading.folder.iterdir()) == [*FILES]
    assert reading.classes == CLASSES
    assert reading.drift == tuple(MOVED)
    assert reading.rows == ({"epoch": 1, "loss": 0.5},)
    assert reading.environment == {"device": "cpu"}
    assert reading.answers is not None
    assert np.array_equal(reading.answers.right, fake.answers.right)
    assert reading.split["train"] == ["t1", "t2"]


def test_a_result_has_the_scores_by_name(reading: Reading, fake: Fake) -> None:
    found = reading.result("accuracy on the source task, by the source's head")
    assert (found.seed, found.folder, found.status, found.error) == (3, Path("runs/l2-seed-3"), "done", "")
    assert found.test.keys() == {*METRICS} - {"auroc"}, "of three classes there is none"
    assert found.test["accuracy"] == fake.answers.right.mean()
    assert (found.validation["accuracy"], found.validation["nll"]) == (0.5, 1.0)
    assert found.kept == 0.4
    assert found.outcome == reading.outcome


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("at", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
def test_a_byte_that_was_changed_is_told_with_its_file(reading: Reading, name: str, at: float) -> None:
    content = bytearray((reading.folder / name).read_bytes())
    content[round(at * (len(content) - 1))] ^= 1
    (reading.folder / name).write_bytes(content)
    with pytest.raises(CheckpointError) as told:
        reading.verify()
    assert f"`{reading.folder / name}`" in told.value.what


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_told(reading: Reading, name: str) -> None:
    (reading.folder / name).unlink()
    with pytest.raises(CheckpointError) as told:
        reading.verify()
    assert f"`{reading.folder / name}`" in told.value.what


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, text) for name in ("outcome.json", "split.json", "plan.json", "drift.json") for text in ("", "[]")),
        ("environment.json", "3"),
        ("split.json", '{"train": [], "validation": [], "test": [], "digest": ""}'),
        ("plan.json", '{"parameters": [{"fate": "transferred"}]}'),
        ("plan.json", '{"parameters": [3]}'),
        ("drift.json", '{"layers": [{"name": "conv"}]}'),
        ("drift.json", "[" * 100_000),
        ("metrics.jsonl", '{"epoch": 1}\n[]\n'),
        ("metrics.jsonl", '{"epoch": 1}\n{"epo'),
        ("answers.safetensors", ""),
        ("model.safetensors", ""),
    ],
)
def test_what_no_run_writes_is_refused_though_its_digest_holds(reading: Reading, name: str, content: str) -> None:
    (reading.folder / name).write_text(content)
    write_manifest(reading.folder)
    with pytest.raises(DataError) as told:
        reading.verify()
    assert f"`{reading.folder / name}`" in told.value.what


def test_without_a_source_or_test_pictures_there_is_nothing_of_them(reading: Reading) -> None:
    for name in ("answers.safetensors", "drift.json"):
        (reading.folder / name).unlink()
    write_manifest(reading.folder)
    reading.verify()
    assert reading.answers is None
    assert reading.drift == ()


@pytest.mark.parametrize(
    ("rows", "held"),
    [
        ([], (None, None)),
        ([("head", (3, 9), "new", "zero", 0.01)], (None, None)),
        ([("a", (2, 3), "transferred", "–", None)], (None, None)),
        ([("a", (2, 3), "transferred", "source", 0.1), ("b", (7,), "transferred", "zero", 0.2)], (0.2, "zero")),
        (
            [
                ("a", (4,), "transferred", "source", 0.1),
                ("b", (3,), "transferred rows", "source", 0.1),
                ("c", (6,), "transferred", "source", 0.2),
            ],
            (0.1, "source"),
        ),
    ],
)
def test_held_is_the_strength_of_most_transferred_values(
    fake: Fake, tmp_path: Path, rows: list[Any], held: tuple[float | None, str | None]
) -> None:
    fake.of(held=rows).write(tmp_path / "run", base())
    assert Reading(tmp_path / "run", 0).held == held


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"retention": {"kept": 0.5}, "agreement": {"target": {"agreement": 0.7}}}, [0.5, None, 0.7]),
        ({"retention": None, "agreement": {"target": None, "unlabelled": {"agreement": 1}}}, [None, 1.0, None]),
        ({"agreement": None}, [None, None, None]),
        ({}, [None, None, None]),
    ],
)
def test_what_is_kept_by_each_measure(outcome: dict[str, Any], expected: list[float | None]) -> None:
    assert [kept(outcome, measure) for measure in MEASURES] == expected
    assert kept(outcome, "") is None


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TetherError, match="there is no"):
        Reading(tmp_path / "none", 0).verify()


def test_names_of_classes_are_text(reading: Reading) -> None:
    assert json.dumps(reading.classes) == '["a", "b", "c"]'

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tether import predict

Tether = Callable[..., Any]


def test_predictions_are_csv(tether: Tether, source_run: Path, stripes: Any) -> None:
    done = tether("predict", source_run, stripes() / "a", stripes() / "c/00.png")
    assert (done.code, done.err) == (0, "")
    rows = list(csv.DictReader(done.out.splitlines()))
    expected = list(predict(source_run, [stripes() / "a", stripes() / "c/00.png"]))
    assert [row["path"] for row in rows] == [p.path for p in expected]
    assert [row["class"] for row in rows] == [p.label for p in expected]
    assert [row["probability"] for row in rows] == [f"{p.probability:.4f}" for p in expected]
    assert len(rows) == 11


def test_a_file_gets_the_same_lines(tether: Tether, source_run: Path, stripes: Any, tmp_path: Path) -> None:
    done = tether("predict", source_run, stripes(), "--out", tmp_path / "classes.csv")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "classes.csv").read_text() == tether("predict", source_run, stripes()).out


def test_a_name_with_a_comma_stays_one_cell(tether: Tether, source_run: Path, stripes: Any, tmp_path: Path) -> None:
    odd = tmp_path / 'a, "b".png'
    odd.write_bytes((stripes() / "a/00.png").read_bytes())
    (row,) = csv.DictReader(tether("predict", source_run, odd).out.splitlines())
    assert row["path"] == str(odd)


def test_a_bad_picture_ends_with_2_and_no_half_of_a_table(tether: Tether, source_run: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no picture")
    done = tether("predict", source_run, tmp_path, "--out", tmp_path / "classes.csv")
    assert (done.code, done.out) == (2, "")
    assert "--skip-bad" in done.err
    assert not (tmp_path / "classes.csv").exists()

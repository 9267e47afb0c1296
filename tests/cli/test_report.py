from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from report.made import made
from tether.study.comparison import Comparison

Tether = Callable[..., Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str | None]]:
    """What is asked of the study that the command reads."""
    asked = []
    found = made(per_class=(5,), seeds=2, items=10)

    def read_study(folder: Path, against: str | None = None) -> Comparison:
        asked.append((folder, against))
        return found

    monkeypatch.setattr("tether.study.gather.read_study", read_study)
    return asked


def test_all_is_written_into_the_study(tether: Tether, asked: list[Any], tmp_path: Path) -> None:
    done = tether("report", tmp_path)
    assert (done.code, done.err) == (0, "")
    assert asked == [(tmp_path, None)]
    assert done.out.startswith("digits-cnn: mnist → digits\n")
    assert done.out.endswith(f"written: {tmp_path / 'result.json'}\nwritten: {tmp_path / 'tables'}\n")


def test_one_file_elsewhere(tether: Tether, asked: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "flowers.md"
    done = tether("report", tmp_path / "study", "--against", "l2", "--out", out)
    assert (done.code, done.err) == (0, "")
    assert asked == [(tmp_path / "study", "l2")]
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_text().startswith("# digits-cnn")


def test_a_place_is_refused_before_the_study_is_read(tether: Tether, asked: list[Any], tmp_path: Path) -> None:
    done = tether("report", tmp_path, "--out", tmp_path / "a.txt")
    assert (done.code, done.out, asked) == (2, "", [])
    assert "a report is .html, .md, .json, by the end of its name" in done.err


def test_a_folder_without_a_study_is_refused(tether: Tether, tmp_path: Path) -> None:
    done = tether("report", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert f"no study is in `{tmp_path}`" in done.err
    assert not list(tmp_path.iterdir())

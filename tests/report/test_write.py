import json
from pathlib import Path

import pytest

from report.made import made
from tether.errors import InputError, SettingsError
from tether.report.write import write_one, write_report
from tether.study.comparison import Comparison


@pytest.fixture(scope="module")
def small() -> Comparison:
    return made(per_class=(5,), seeds=2, items=10)


def test_a_report_is_written_over_the_one_before(small: Comparison, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    written = write_report(small, tmp_path)
    assert [path.name for path in written] == ["report.html", "report.md", "result.json", "tables"]
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "result.json").read_text())["title"] == small.title
    assert {path.suffix for path in (tmp_path / "tables").iterdir()} == {".csv"}
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_links_hold_from_where_one_file_is(small: Comparison, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    write_one(small, tmp_path / "study", tmp_path / "page.HTML")
    folder = small.groups[0].candidates[0].runs[0].folder
    assert f'href="./study/{folder}"' in (tmp_path / "page.HTML").read_text()


def test_nothing_is_written_over_elsewhere(small: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "photo.html"
    path.write_text("mine")
    with pytest.raises(InputError, match="is there already") as refused:
        write_one(small, tmp_path, path)
    assert path.read_text() == "mine"
    assert refused.value.fix.endswith("without --out it is written into the study")


def test_a_suffix_that_is_no_format_is_refused(small: Comparison, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not say what to write"):
        write_one(small, tmp_path, tmp_path / "report.pdf")
    assert not list(tmp_path.iterdir())

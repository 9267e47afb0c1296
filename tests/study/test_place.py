"""The folder of a study: what lies where, what is refused, and what a failure leaves."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tether.errors import DataError, InputError, MachineError
from tether.study.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path / "deep" / "study")
    found.make()
    return found


def test_what_is_made_may_be_there_already(place: Place) -> None:
    place.make()
    assert {one.name for one in place.folder.iterdir()} == {"runs", ".claims", ".shared"}
    assert place.claims == place.folder / ".claims"
    assert place.shared == place.folder / ".shared"
    assert place.run("l2-seed-0") == place.folder / "runs" / "l2-seed-0"


def test_what_the_study_is_reads_back_equal(place: Place) -> None:
    assert place.read() is None
    study = {"vary": {"plan": ["l2", "l2_sp(alpha=0.5)"]}, "seeds": [0, 1], "spec": {"a": "caf\u00e9\u202e"}}
    place.write(study)
    assert place.read() == study
    place.write({"seeds": [3]})
    assert place.read() == {"seeds": [3]}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "{}", '{"seeds": [0]}', "[" * 100_000, "\x00"], ids=lambda text: text[:9] or "empty"
)
def test_what_cannot_be_read_is_refused(place: Place, content: str) -> None:
    (place.folder / "study.json").write_text(content)
    with pytest.raises(DataError, match=r"study\.json` cannot be read") as refused:
        place.read()
    assert "writes it anew and keeps the runs" in refused.value.fix


def test_bytes_that_are_no_text_are_refused(place: Place) -> None:
    (place.folder / "study.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match=r"study\.json` cannot be read"):
        place.read()


def test_a_newer_study_is_refused(place: Place) -> None:
    (place.folder / "study.json").write_text('{"version": 2, "seeds": [0]}')
    with pytest.raises(DataError, match="is of version 2, and this Tether reads 1") as refused:
        place.read()
    assert refused.value.fix == "pip install --upgrade tether-ft"


def test_what_was_chosen_is_known_again_where_it_can_be_read(place: Place) -> None:
    assert place.choices() == {}
    place.write({"choices": {"device": "cpu"}})
    assert place.choices() == {"device": "cpu"}
    for content in ("{", '{"version": 1}', '{"version": 1, "choices": [3]}'):
        (place.folder / "study.json").write_text(content)
        assert place.choices() == {}
    (place.folder / "study.json").write_text('{"version": 2}')
    with pytest.raises(DataError, match="is of version 2"):
        place.choices()


def test_a_run_is_done_when_its_manifest_is_there(place: Place) -> None:
    run = place.run("l2-seed-0")
    assert not place.is_done(run.name)
    run.mkdir()
    (run / "outcome.json").write_text("{}")
    assert not place.is_done(run.name)
    (run / "manifest.json").write_text("{}")
    assert place.is_done(run.name)


def test_a_failure_is_kept_beside_the_run_until_it_is_forgotten(place: Place) -> None:
    assert place.failure("l2-seed-0") == ""
    place.note_failure("l2-seed-0", {"error": "the loss is not finite", "why": "…"})
    assert place.failure("l2-seed-0") == "the loss is not finite"
    assert place.failure("l2-seed-1") == ""
    assert not place.is_done("l2-seed-0")
    place.note_failure("l2-seed-0", {"error": "again"})
    assert place.failure("l2-seed-0") == "again"
    place.forget_failure("l2-seed-0")
    place.forget_failure("l2-seed-0")
    assert place.failure("l2-seed-0") == ""


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '"error"', "[" * 100_000])
def test_a_failure_that_cannot_be_read_is_one(place: Place, content: str) -> None:
    (place.folder / "runs" / "l2-seed-0.failed.json").write_text(content)
    assert place.failure("l2-seed-0").startswith("failed, and why cannot be read: ")


def as_nothing(folder: Path) -> None:
    """It is to be made."""


def as_empty(folder: Path) -> None:
    folder.mkdir()


def as_cut_before_it_was_written(folder: Path) -> None:
    Place(folder).make()


def as_a_study(folder: Path) -> None:
    Place(folder).make()
    Place(folder).write({})
    (folder / "report.html").write_text("")


@pytest.mark.parametrize("found", [as_nothing, as_empty, as_cut_before_it_was_written, as_a_study])
def test_a_studys_own_folder_is_not_foreign(tmp_path: Path, found: Callable[[Path], None]) -> None:
    found(tmp_path / "study")
    Place(tmp_path / "study").refuse_foreign()


def as_a_file(folder: Path) -> None:
    folder.write_text("")


def as_a_link_to_nowhere(folder: Path) -> None:
    folder.symlink_to("nowhere")


def as_a_run(folder: Path) -> None:
    folder.mkdir()
    (folder / "spec.toml").write_text("")


def as_a_folder_of_runs(folder: Path) -> None:
    (folder / "runs" / "mine").mkdir(parents=True)


@pytest.mark.parametrize("found", [as_a_file, as_a_link_to_nowhere, as_a_run, as_a_folder_of_runs])
def test_any_other_is(tmp_path: Path, found: Callable[[Path], None]) -> None:
    found(tmp_path / "study")
    with pytest.raises(InputError, match=r"study` (is a file|holds `\S+` and no study)"):
        Place(tmp_path / "study").refuse_foreign()


@pytest.mark.parametrize(("code", "kind"), [(errno.EROFS, MachineError), (errno.EACCES, InputError)])
def test_where_nothing_may_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(code, "no", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(kind, match="could not be written"):
        Place(tmp_path / "study").make()


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        Place(tmp_path / "file" / "study").make()


def test_what_is_written_is_json_that_anyone_reads(place: Place) -> None:
    place.write({"seeds": [0]})
    assert json.loads((place.folder / "study.json").read_text()) == {"version": 1, "seeds": [0]}

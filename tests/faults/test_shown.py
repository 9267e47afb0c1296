"""A run in which every name attacks: what it prints, and every file that it writes."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from faults.shown import NAMES, NO_UTF8, READ, UNDRAWN, UNSEEN, flags, gray, pictures
from tether.audit.result import Audit, Row
from tether.cli.app import COMMANDS, run
from tether.engine.progress import progress
from tether.escaping import cell, markdown, terminal
from tether.files import write_manifest
from tether.models.digits_cnn import DigitsCNN
from tether.record import RunRecord, metrics_line

CLASSES = (*UNDRAWN.values(), *READ.values())
TENSORS = {name: torch.ones(2) for name in NAMES.values()}


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """What a command says; none of it can attack."""

    def said(*words: object) -> Said:
        capsys.readouterr()
        code = run([str(word) for word in words], COMMANDS)
        found = Said(code, *capsys.readouterr())
        assert not [c for c in found.out + found.err if not (c.isprintable() or c == "\n")]
        assert "Traceback" not in found.err
        return found

    return said


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run whose classes, source and plan have hostile names."""
    home = tmp_path_factory.mktemp("hostile")
    data = pictures(home / "[red]d|a`t$a\u202e", *CLASSES)
    for name in NAMES.values():
        gray(50).save(data / "<script>alert(1)<script>" / f"{name}.png")
    source = home / "so\x1b[2J\nurce|`.pt"
    torch.save(DigitsCNN(2).state_dict() | TENSORS, home / "plain.pt")
    (home / "plain.pt").rename(source)
    overrides = 'plan.overrides={"*[!\\u001b\\n|`]*" = "L2(0.1)"}'
    asked = ["--source", source, "--mean", 0.5, "--std", 0.5, "--plan", "none", "--set", overrides]
    words = ["fit", *flags(data, *asked), "--out", home / "run", "--quiet"]
    assert run([str(word) for word in words], COMMANDS) == 0
    return home / "run"


def text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    "name", ["README.md", "tether.txt", "transfer.json", "plan.json", "split.json", "outcome.json"]
)
def test_every_file_is_utf_8_that_can_be_seen(hostile: Path, name: str) -> None:
    assert not [c for c in text(hostile / name) if not (c.isprintable() or c == "\n")]


def test_the_card_is_one_table_of_two_columns_with_every_class_as_code(hostile: Path) -> None:
    card = text(hostile / "README.md")
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert all(row.count("|") == 3 for row in rows)
    (classes,) = (row for row in rows if row.startswith("| classes |"))
    assert re.findall(r"`[^`]*`", classes) == [markdown(name) for name in sorted(CLASSES)]
    assert [line for line in card.splitlines() if line.startswith("#")] == card.splitlines()[:1]
    assert "<script>" not in re.sub(r"`[^`\n]*`", "", card)


def test_names_read_back_from_json(hostile: Path) -> None:
    transfer = json.loads(text(hostile / "transfer.json"))
    assert set(TENSORS) < set(transfer["unused"])
    split = json.loads(text(hostile / "split.json"))
    names = {Path(name).stem for part in ("train", "validation", "test") for name in split[part]}
    assert set(NAMES.values()) < names


def test_a_record_and_an_audit_keep_their_lines(hostile: Path) -> None:
    record = str(RunRecord.read(hostile))
    row = Row("acted", "all\nsteps", "1\r", "2\u202e", None, "not\nfailed: x")
    failed = Audit("l2\naudit: passed", (row, replace(row, passed=False), replace(row, passed=True)))
    for text in (record, str(failed)):
        assert not [c for c in text if not (c.isprintable() or c == "\n")]
    assert str(failed).count("\n") == 5
    assert record.count("\n") == len(record.splitlines()) - 1
    assert sum(line.startswith("run") for line in record.splitlines()) == 2


def test_a_row_of_metrics_is_one_line_of_utf_8() -> None:
    line = metrics_line({"terms/a\u2028\udcff\x7f": 1.0})
    assert line == r'{"terms/a\u2028\udcff\u007f": 1.0}'


def test_metrics_are_one_object_a_line(hostile: Path) -> None:
    lines = text(hostile / "metrics.jsonl").split("\n")
    assert lines[-1] == ""
    assert [json.loads(line)["epoch"] for line in lines[:-1]] == [1]


def test_the_summary_keeps_its_lines(hostile: Path) -> None:
    summary = text(hostile / "tether.txt").splitlines()
    assert summary[0].startswith("tether: none · transferred: free")
    assert r"*[!\x1b\n|`]*: L2(0.1)" in summary[0]
    assert not [line for line in summary if line.startswith(("error", "|", "`"))]


@pytest.mark.parametrize("command", ["evaluate", "audit"])
def test_what_reads_the_run_says_it_in_lines_of_its_own(hostile: Path, said: Callable[..., Said], command: str) -> None:
    found = said(command, hostile)
    assert found.code == 0, found.out + found.err


def test_an_audit_of_a_forged_plan_says_it_in_its_own_lines(
    hostile: Path, said: Callable[..., Said], tmp_path: Path
) -> None:
    forged = tmp_path / "run"
    forged.mkdir()
    for path in hostile.iterdir():
        if path.is_file():
            (forged / path.name).write_bytes(path.read_bytes())
    written = json.loads(text(forged / "plan.json"))
    written["plan"] += "\n\x1b[2Jaudit: passed"
    written["parameters"][0]["name"] += "\nfailed: nothing\u202e"
    (forged / "plan.json").write_text(json.dumps(written))
    (forged / "manifest.json").unlink()
    write_manifest(forged)
    found = said("audit", forged)
    assert found.code == 2
    assert [line for line in found.out.splitlines() if line.startswith("audit")] == found.out.splitlines()[:1]
    assert sum(line.startswith("failed:") for line in found.out.splitlines()) == 1
    assert r"\nfailed: nothing\u202e" in found.out


def test_predictions_are_a_table_without_formulas(
    hostile: Path, said: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    monkeypatch.chdir(photos)
    names = sorted(f"{name}.png" for name in NAMES.values())
    for name in names:
        gray(50).save(photos / name)
    found = said("predict", hostile, "--out", tmp_path / "classes.csv", "--", *names)
    assert (found.code, found.out, found.err) == (0, "", "")
    rows = list(csv.reader(io.StringIO(text(tmp_path / "classes.csv")), strict=True))
    assert rows[0] == ["path", "class", "probability"]
    assert sorted(row[0] for row in rows[1:]) == sorted(map(cell, names))
    assert {len(row) for row in rows} == {3}
    assert not [value for row in rows for value in row if value.startswith(tuple("=+-@＝\t\r"))]
    assert {row[1] for row in rows[1:]} <= set(map(cell, CLASSES))
    printed = said("predict", hostile, "--", *names).out
    assert printed == text(tmp_path / "classes.csv")


def test_a_match_is_written_as_json_that_reads_back(said: Callable[..., Said], tmp_path: Path) -> None:
    torch.save(DigitsCNN(2).state_dict() | TENSORS, tmp_path / "source.pt")
    out = tmp_path / "match.json"
    said("match", tmp_path / "source.pt", "--into", "digits-cnn", "--classes", 2, "--out", out)
    assert set(TENSORS) < set(json.loads(text(out))["unused"])
    assert not [c for c in text(out) if not (c.isprintable() or c == "\n")]


@pytest.mark.parametrize("name", NO_UTF8.values())
@pytest.mark.parametrize("flag", ["--data", "--source", "--source-classes"])
def test_a_path_that_no_spec_can_hold_is_refused_before_anything_is_written(
    said: Callable[..., Said], tmp_path: Path, name: str, flag: str
) -> None:
    data = pictures(tmp_path / "data", "a", "b")
    odd = tmp_path / f"odd{name}"
    if flag == "--data":
        pictures(odd, "a", "b")
    elif flag == "--source":
        torch.save(DigitsCNN(2).state_dict(), odd)
    else:
        odd.write_text("a\nb\n")
    source = tmp_path / "source.pt"
    torch.save(DigitsCNN(2).state_dict(), source)
    found = said("fit", *flags(data), "--source", source, flag, odd, "--out", tmp_path / "run", "--quiet")
    assert (found.code, found.out) == (2, "")
    assert [line.partition(":")[0] for line in found.err.splitlines()] == ["error", "why", "fix"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [*UNSEEN.values(), *UNDRAWN.values(), *READ.values()])
def test_a_progress_bar_shows_the_name_and_obeys_no_mark_in_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in {"TERM": "xterm", "COLUMNS": "1000", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(key, value)
    with progress(1, f"[/]{name}", quiet=False) as advance:
        advance("")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).replace("\r", "")
    assert terminal(f"[/]{name}") in shown
    assert not [c for c in shown if not (c.isprintable() or c == "\n")]

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

import tether
from tether.errors import DataError, SettingsError
from tether.files import append_line
from tether.record import RunRecord, environment, metrics_line
from tether.spec import RunSpec

SPEC = RunSpec.parse(
    {
        "model": {"name": "digits-cnn"},
        "data": {"path": "digits"},
        "source": {"path": "runs/mnist"},
        "plan": {"preset": "l2_sp", "args": {"alpha": 0.1}},
    }
)
ROWS = ({"epoch": 1, "loss": 1.5}, {"epoch": 2, "loss": 0.123456})
OUTCOME = {"test_accuracy": 0.838, "best_epoch": 2, "penalty_acted": "150 of 150 steps", "kept_accuracy": 0.93}


@pytest.fixture
def record() -> RunRecord:
    return RunRecord(SPEC, environment(threads=1, device="cpu"), ROWS, OUTCOME)


def test_what_is_written_is_what_is_read(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    assert RunRecord.read(tmp_path) == record
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "environment.json",
        "metrics.jsonl",
        "outcome.json",
        "spec.toml",
    ]


def test_a_run_that_has_begun_grows_row_by_row(tmp_path: Path) -> None:
    begun = RunRecord(SPEC, environment(threads=1, device="cpu"))
    begun.write(tmp_path)
    assert not (tmp_path / "outcome.json").exists()
    for row in ROWS:
        append_line(tmp_path / "metrics.jsonl", metrics_line(row))
    found = RunRecord.read(tmp_path)
    assert found.metrics == ROWS
    assert found.outcome == {}
    assert "the run has not ended" in str(found)


def test_a_row_may_hold_any_text(tmp_path: Path) -> None:
    row = {"class": "a\u2028b\x85c\nd"}
    RunRecord(SPEC, environment(threads=1, device="cpu"), (row,)).write(tmp_path)
    assert RunRecord.read(tmp_path).metrics == (row,)


def test_the_written_spec_runs_again(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    assert RunSpec.from_toml(tmp_path / "spec.toml").digest == SPEC.digest


def test_the_environment_is_this_one() -> None:
    found = environment(threads=3, device="cpu")
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["numpy"] == numpy.__version__
    assert found["tether"] == tether.__version__
    assert found["python"] == sys.version.split()[0]
    assert (found["threads"], found["device"]) == (3, "cpu")
    json.dumps(found)


def test_a_record_reads_in_one_screen(record: RunRecord) -> None:
    text = str(record)
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 200
    for part in (
        "digits-cnn on digits, from runs/mnist",
        "l2_sp(alpha=0.1)",
        "batchnorm source",
        "loss 0.1235",
        "0.838",
    ):
        assert part in text


def test_a_torn_last_row_is_left_out(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 3, "lo')
    assert RunRecord.read(tmp_path).metrics == ROWS


def test_a_broken_row_is_named(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    append_line(tmp_path / "metrics.jsonl", "epoch=3")
    with pytest.raises(DataError, match=r"metrics\.jsonl`, row 3 cannot be read") as refusal:
        RunRecord.read(tmp_path)
    assert refusal.value.fix == "delete row 3"


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
@pytest.mark.parametrize("name", ["environment.json", "outcome.json"])
def test_a_broken_file_is_named(record: RunRecord, tmp_path: Path, name: str, text: str) -> None:
    record.write(tmp_path)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=f"{name}` cannot be read"):
        RunRecord.read(tmp_path)


def test_a_missing_environment_is_named(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    (tmp_path / "environment.json").unlink()
    with pytest.raises(DataError, match=r"environment\.json` cannot be read: .*No such file"):
        RunRecord.read(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run is in"):
        RunRecord.read(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        RunRecord.read(tmp_path / "absent")


def test_a_broken_spec_is_named(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    append_line(tmp_path / "spec.toml", "[train")
    with pytest.raises(SettingsError, match=r"spec\.toml` is not TOML"):
        RunRecord.read(tmp_path)


def test_reading_a_record_needs_no_torch(record: RunRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    script = (
        "import sys; from pathlib import Path; from tether.record import RunRecord, environment\n"
        "print(RunRecord.read(Path(sys.argv[1])), environment(threads=1, device='cpu'))\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True)


def test_a_presets_words_are_shown_as_they_are_written():
    flags = {"model.name": "m", "data.path": "d", "plan.preset": "group_lasso_sp"}
    flags |= {"plan.args": {"alpha": 0.001, "view": "layers"}}
    record = RunRecord(RunSpec.from_flags(flags), environment(threads=1, device="cpu"))
    assert "plan group_lasso_sp(alpha=0.001, view='layers')" in str(record)


def test_what_an_outcome_lacks_is_not_shown() -> None:
    spec = RunSpec.from_flags({"model.name": "digits-cnn", "data.path": "digits"})
    shown = str(RunRecord(spec, {}, outcome={"test": None, "agreement": {"target": {"count": 3}, "unlabelled": None}}))
    assert "agreement  target count 3\n" in f"{shown}\n"
    assert "unlabelled" not in shown

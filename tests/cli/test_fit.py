import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether import RunRecord, RunSpec

Tether = Callable[..., Any]


def test_a_fit_prints_what_held_and_what_came_of_it(
    tether: Tether, small: list[str], source_run: Path, tmp_path: Path
) -> None:
    words = ["--source", source_run, "--plan", "l2_sp(alpha=1)", "--out", tmp_path / "run", "--quiet"]
    done = tether("fit", *small, *words)
    assert (done.code, done.err) == (0, "")
    assert "transferred → source: L2(1.0)" in done.out
    assert "the penalty acted on 9 of 9 steps" in done.out
    record = RunRecord.read(tmp_path / "run")
    assert str(record) in done.out
    assert record.spec.plan.args == {"alpha": 1.0}


def test_a_file_with_flags_on_top(tether: Tether, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(tether("fit", *small, "--seed", 3, "--print-spec").out)
    assert tether("fit", tmp_path / "run.toml", "--seed", 0, "--out", tmp_path / "run").code == 0
    assert RunSpec.from_toml(tmp_path / "run/spec.toml").seed == 0


def test_a_probe_is_put_beside_the_result(tether: Tether, small: list[str], source_run: Path, tmp_path: Path) -> None:
    done = tether("fit", *small, "--source", source_run, "--probe", "--out", tmp_path / "run")
    assert done.code == 0
    assert RunRecord.read(tmp_path / "run").outcome["probe"]["accuracy"] > 0.5


MISTAKES: dict[str, tuple[list[str], str, str]] = {
    "flag": (["--epoch", "3"], "there is no option `--epoch`", "did you mean `--epochs`?"),
    "key": (["--set", "train.epoch=3"], "there is no setting `train.epoch`", "did you mean `epochs`?"),
    "table": (["--set", "trane.epochs=3"], "there is no setting `trane`", "did you mean `train`?"),
    "value": (["--batchnorm", "eval"], "`--batchnorm` is 'eval'", "--batchnorm "),
    "range": (["--lr", "0"], "`--lr` is 0.0", "--lr "),
    "kind": (["--epochs", "many"], "`--epochs` is 'many'", "--epochs 1, or leave it out"),
    "file": (["{tmp}/none.toml"], "there is no file `{tmp}/none.toml`", "give the path of a TOML spec"),
    "data": (["--data", "{tmp}/none"], "there is no folder or table `{tmp}/none`", ""),
    "source": (["--source", "mnsit"], "there is no source `mnsit`", "did you mean `mnist`?"),
    "model": (["--model", "digits"], "no model is named `digits`", "did you mean `digits-cnn`?"),
    "plan": (["--plan", "l2sp"], "no preset is named `l2sp`", "did you mean `l2_sp`?"),
    "argument": (["--plan", "l2_sp(gamma=1)"], "the preset `l2_sp` has no argument `gamma`", "known: alpha, beta"),
    "words": (["--plan", "l2_sp(1)"], "`--plan l2_sp(1)` is neither a preset", "--plan l2_sp,"),
    "needed": (["--plan", "l1_sp"], "the preset `l1_sp` needs `alpha`", '--plan "l1_sp(alpha=…)"'),
    "rename": (["--source", "mnist", "--rename", "a"], "`--rename a` has no `=`", "--rename '^encoder"),
    "mean": (["--mean", "half"], "`half` is not a number", ""),
    "patience": (["--patience", "2"], "`train.patience` needs validation pictures", "--validation 0.2"),
    "probe": (["--probe"], "`probe` needs a source", "--source …"),
    "resume": (
        ["--resume", "runs/x"],
        "`--resume runs/x` stands beside other settings",
        "tether fit --resume runs/x; or",
    ),
}


def without(words: list[str], flags: list[str]) -> list[str]:
    """The words less those flags, and what follows each."""
    dropped = {at + after for at, word in enumerate(words) if word in flags for after in (0, 1)}
    return [word for at, word in enumerate(words) if at not in dropped]


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_block_and_ends_with_2(tether: Tether, small: list[str], tmp_path: Path, case: str) -> None:
    words, what, fix = MISTAKES[case]
    given = without(small, [word for word in words if word != "--set"])
    out = [] if "--out" in words else ["--out", tmp_path / "run"]
    done = tether("fit", *given, *out, *(word.format(tmp=tmp_path) for word in words))
    assert (done.code, done.out) == (2, "")
    lines = done.err.splitlines()
    assert lines[0].startswith("error: ")
    assert what.format(tmp=tmp_path) in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == [w for w in ("why", "fix") if f"\n{w}: " in done.err]
    assert fix.format(tmp=tmp_path) in done.err.partition("\nfix: ")[2]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_refused(tether: Tether, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = tether("fit", *small, "--out", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: `{tmp_path}` is there already\nwhy: a run is never overwritten\nfix: --out ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_nothing_given_says_what_is_needed(tether: Tether) -> None:
    done = tether("fit")
    assert done.code == 2
    assert done.err.startswith("error: there is nothing to fit\nwhy: neither a spec nor --model")


def test_divergence_ends_with_4(tether: Tether, small: list[str], tmp_path: Path) -> None:
    longer = [*without(small, ["--epochs"]), "--epochs", 20]
    done = tether("fit", *longer, "--lr", "1e9", "--optimizer", "sgd", "--out", tmp_path / "run")
    assert done.code == 4
    assert done.err.startswith(f"error: `{tmp_path / 'run'}`: the ")
    assert "that step was not made" in done.err
    assert '"status": "diverged"' in (tmp_path / "run/outcome.json").read_text()


def command(*words: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    executable = Path(sys.executable).with_name("tether")
    return subprocess.run([executable, *map(str, words)], capture_output=True, text=True, check=False, **settings)


def test_a_refusal_of_the_installed_command(tmp_path: Path) -> None:
    done = command("fit", "--model", "digits-cnn", "--data", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no folder or table `nowhere`\n")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_the_installed_command_with_3(small: list[str], tmp_path: Path) -> None:
    # /dev/full is a device on which every write fails with ENOSPC
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib\n"
        "real = pathlib.Path.open\n"
        "def opened(self, mode='r', *rest, **more):\n"
        "    full = 'x' in mode and 'model.safetensors' in self.name and self.parent.name == 'run'\n"
        "    return real(pathlib.Path('/dev/full') if full else self, 'wb' if full else mode, *rest, **more)\n"
        "pathlib.Path.open = opened\n"
    )
    run = tmp_path / "run"
    done = command("fit", *small, "--out", run, env=os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"error: `{run}`: `{run / 'model.safetensors'}` could not be written: No space left")
    assert f"fix: free space or choose another disk, then tether fit --resume {run}" in done.stderr
    assert '"status": "machineerror"' in (run / "outcome.json").read_text()
    assert not (run / "model.safetensors").exists()
    assert command("fit", "--resume", run).returncode == 0
    assert (run / "model.safetensors").exists()

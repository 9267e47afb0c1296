"""Code that a file names runs on no command but where the user says so."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether import RunSpec, fit, predict
from tether.engine.audit_run import audit_run
from tether.engine.measure import measure
from tether.engine.trained import Trained
from tether.errors import SettingsError
from tether.files import write_manifest

Tether = Callable[..., Any]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a module `mynet` that can be imported leaves a mark."""
    mark = tmp_path / "ran"
    (tmp_path / "mynet.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from torch import nn\n"
        "def net(num_classes): return nn.Sequential(nn.Flatten(), nn.Linear(144, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "mynet", raising=False)
    return mark


@pytest.fixture
def spec(settings: Callable[..., dict[str, Any]], tmp_path: Path, ran: Path) -> Path:
    """A spec that names it."""
    path = tmp_path / "spec.toml"
    path.write_text(RunSpec.from_flags(settings({"model.name": "mynet:net"})).to_toml())
    return path


@pytest.fixture
def run(source_run: Path, tmp_path: Path, ran: Path) -> Path:
    """A run folder whose spec names it."""
    folder = Path(shutil.copytree(source_run, tmp_path / "run"))
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(text.replace('"digits-cnn"', '"mynet:net"'))
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    return folder


@pytest.mark.parametrize("command", ["fit", "plan"])
def test_a_spec_file(tether: Tether, spec: Path, ran: Path, tmp_path: Path, command: str) -> None:
    words = ["--out", tmp_path / "out", "--quiet"] if command == "fit" else []
    done = tether(command, spec, *words)
    assert (done.code, done.out, ran.exists()) == (2, "", False)
    assert f"`{spec}` names the network `mynet:net`" in done.err
    assert tether(command, spec, "--trust-code", *words).code == 0
    assert ran.exists()


@pytest.mark.parametrize("words", [("--model", "mynet:net"), ("--set", "model.name=mynet:net")])
def test_what_the_user_types_is_trusted(tether: Tether, spec: Path, ran: Path, words: tuple[str, ...]) -> None:
    assert tether("plan", spec, *words).code == 0
    assert ran.exists()


def test_other_flags_do_not_make_the_files_name_the_users(tether: Tether, spec: Path, ran: Path) -> None:
    done = tether("plan", spec, "--set", "model.args.x=1", "--epochs", 2)
    assert (done.code, ran.exists()) == (2, False)


def test_the_users_name_wins_over_the_files(tether: Tether, spec: Path, ran: Path) -> None:
    assert tether("plan", spec, "--model", "digits-cnn").code == 0
    assert not ran.exists()


@pytest.mark.parametrize("command", ["evaluate", "predict", "audit"])
def test_a_run_folder(tether: Tether, run: Path, ran: Path, stripes: Any, command: str) -> None:
    done = tether(command, run, *([stripes()] if command == "predict" else []))
    assert (done.code, done.out, ran.exists()) == (2, "", False)
    assert f"`{run / 'spec.toml'}` names the network `mynet:net`" in done.err
    done = tether(command, run, *([stripes()] if command == "predict" else []), "--trust-code")
    assert ran.exists()
    assert "does not fit `mynet:net`" in done.err  # its weights are another network's


@pytest.mark.parametrize(
    "read",
    [Trained.load, measure, audit_run, lambda run, **trust: list(predict(run, [run], **trust))],
    ids=["load", "measure", "audit", "predict"],
)
def test_in_python(run: Path, ran: Path, read: Callable[..., Any]) -> None:
    with pytest.raises(SettingsError, match="names the network"):
        read(run)
    assert not ran.exists()
    with pytest.raises(Exception, match="does not fit"):
        read(run, trust_code=True)


def test_a_run_of_ones_own_network_can_be_used_again(
    tether: Tether, spec: Path, tmp_path: Path, stripes: Any, ran: Path
) -> None:
    fit(RunSpec.from_toml(spec), tmp_path / "own")  # a RunSpec in Python is the user's word
    own = tmp_path / "own"
    for words in (["evaluate", own], ["predict", own, stripes()], ["audit", own]):
        assert tether(*words).code == 2
        assert tether(*words, "--trust-code").code == 0

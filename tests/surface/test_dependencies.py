import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
DIRECT = [
    *PROJECT["project"]["dependencies"],
    *(need for extra in PROJECT["project"]["optional-dependencies"].values() for need in extra),
    *PROJECT["dependency-groups"]["dev"],
]
SCRIPTS = [*(path for path in sorted((ROOT / "scripts").iterdir()) if not path.suffix), ROOT / ".ci" / "run"]
PINNED = dict(re.fullmatch(r"(\S+)==(\S+)", line).groups() for line in CONSTRAINTS.splitlines())


@pytest.mark.parametrize("need", DIRECT)
def test_every_direct_dependency_has_a_floor_and_no_cap(need: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?>=[0-9.]+", need)


def test_the_constraints_hold_no_address() -> None:
    assert "://" not in CONSTRAINTS
    assert "@" not in CONSTRAINTS
    assert "+" not in CONSTRAINTS


def test_the_constraints_leave_torch_to_the_registry() -> None:
    assert not [name for name in PINNED if re.match(r"(torch|torchvision|triton)$|nvidia-|cuda-", name)]


@pytest.mark.parametrize("need", DIRECT)
def test_the_constraints_hold_every_direct_dependency_at_its_floor_or_above(need: str) -> None:
    name, floor = re.match(r"([a-z0-9-]+)(?:\[.*\])?>=([0-9.]+)", need).groups()
    if name in {"torch", "torchvision"}:
        assert name not in PINNED
    else:
        assert numbers(PINNED[name]) >= numbers(floor)


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_sound_bash(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


def test_an_install_of_something_else_is_refused() -> None:
    done = subprocess.run([ROOT / "scripts" / "install", "all"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "usage: scripts/install core|dev\n"


def test_an_old_python_is_refused_with_the_way_out(tmp_path: Path) -> None:
    root = tmp_path / "copy"
    (root / "scripts").mkdir(parents=True)
    (root / "scripts" / "install").write_text((ROOT / "scripts" / "install").read_text())
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "cat"):
        (tools / name).symlink_to(Path("/usr/bin") / name)
    (tools / "python3").write_text('#!/bin/bash\nif [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi\n')
    (tools / "python3").chmod(0o755)
    done = subprocess.run(
        ["/usr/bin/bash", root / "scripts" / "install", "core"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: Tether needs Python 3.11 or newer, and none is on the PATH",
        "why: python3 is Python 3.9.2",
        "fix: install it, for example with 'apt-get install python3 python3-venv'",
    ]
    assert not (root / ".venv").exists()

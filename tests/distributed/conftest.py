"""Two processes, started once for all tests here: what each of them found."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

collect_ignore = ["job"]  # scripts of the processes, which import one another
JOB = Path(__file__).parent / "job"
SECONDS = 240

Found = dict[str, Any]


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    """The results of both, by name; every worker of a parallel run reads those of the first that asks."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "two-processes"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / f"{rank}.pt").exists() for rank in (0, 1)):
            run(folder)
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    return first, second


@pytest.fixture
def first(processes: tuple[Found, Found]) -> Found:
    return processes[0]


def run(folder: Path) -> None:
    (folder / "meeting").unlink(missing_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    workers = [
        subprocess.Popen(
            [sys.executable, str(JOB), str(rank), str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [worker.communicate(timeout=SECONDS)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    failed = [text for worker, text in zip(workers, said, strict=True) if worker.returncode]
    if failed:
        pytest.fail("\n\n".join(text[-3000:] for text in failed))

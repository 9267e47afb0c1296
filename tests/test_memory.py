import resource
from pathlib import Path

import pytest

from tether import memory
from tether.memory import machine_memory


def test_a_limit_of_the_process_or_its_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "memory.max")
    whole = machine_memory()
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory() == whole
    (tmp_path / "memory.max").write_text("1000000\n")
    assert machine_memory() == 1_000_000
    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (5_000, before[1]))
    assert machine_memory() == 5_000

"""From a CIFAR-10 network of another's to Fashion-MNIST: what is learnt, and what is kept."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from tether import fit

pytestmark = pytest.mark.story
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "cifar_fashion.py"


@pytest.fixture
def benchmark(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings of the benchmark, so that its figures and this test are of the same runs."""
    where = spec_from_file_location("cifar_fashion", BENCHMARK)
    assert where is not None
    assert where.loader is not None
    module = module_from_spec(where)
    where.loader.exec_module(module)
    monkeypatch.setattr(module, "DATA", shared_data)
    if not (shared_data / "cifar10_resnet20" / "resnet20.th").is_file():
        pytest.skip("no CIFAR ResNet-20 in the folder of data")
    if not module.FASHION.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    return module


def test_a_pull_toward_the_source_keeps_what_plain_fine_tuning_forgets(benchmark: Any, tmp_path: Path) -> None:
    benchmark.write_pictures(tmp_path / "pictures")
    found = {
        name: fit(
            benchmark.spec(tmp_path / "pictures", benchmark.PLANS[name], "source", 0), tmp_path / name, quiet=True
        ).outcome
        for name in ("plain", "l2_sp(alpha=1)", "l2_sp(alpha=10)")
    }
    target = {name: outcome["test"]["accuracy"] for name, outcome in found.items()}
    kept = {name: outcome["retention"]["kept"] for name, outcome in found.items()}
    for outcome in found.values():
        assert 0.80 < outcome["retention"]["source"] < 0.82
        assert (outcome["retention"]["count"], outcome["test"]["count"]) == (2000, 1000)
        assert (outcome["steps"], outcome["chosen_on"].split(":")[0]) == (90, "nothing")
    # seen: target .693, .592, .350 and kept .141, .547, .808
    assert target["plain"] > target["l2_sp(alpha=1)"] > 0.5
    assert kept["plain"] + 0.2 < kept["l2_sp(alpha=1)"]
    assert kept["l2_sp(alpha=1)"] + 0.1 < kept["l2_sp(alpha=10)"]
    assert [found[name]["steps_acted"] for name in found] == [0, 90, 90]

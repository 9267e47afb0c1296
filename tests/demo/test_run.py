import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tether import RunRecord
from tether.cli.app import COMMANDS, run
from tether.data.digits import read_digits
from tether.demo import run as module
from tether.demo.result import METHODS
from tether.errors import RunExists
from tether.files import verify_manifest


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of `tether demo`, of two epochs, one rate and two seeds."""
    out, printed = tmp_path_factory.mktemp("demo") / "demo", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(module, "EPOCHS", 2)
        patch.setattr(module, "RATES", (0.003,))
        patch.setattr(module, "TUNING_SEEDS", (1000,))
        patch.setattr(module, "cores", lambda: 1)
        assert run(["demo", "--out", str(out), "--seeds", "2"], COMMANDS) == 0
    return out, printed.getvalue()


@pytest.fixture
def out(shown: tuple[Path, str]) -> Path:
    return shown[0]


def test_the_command_prints_the_table_and_where_it_is(shown: tuple[Path, str]) -> None:
    out, printed = shown
    assert printed == f"{(out / 'demo.txt').read_text()}\nruns, figures and picture: {out}\n"
    assert printed.count("\n") > len(METHODS)


def test_every_method_is_reported_for_every_seed(out: Path) -> None:
    found = json.loads((out / "demo.json").read_text())
    assert [(o["method"], o["seed"]) for o in found["outcomes"]] == [(m, s) for m in METHODS for s in (0, 1)]
    assert found["rates"].keys() == {"scratch", "plain", "differential_l2", "l2_sp"}
    assert set(found["rates"].values()) == {0.003}
    assert found["source"] > 0.97
    assert all((o["kept"] is None) == (o["method"] == "scratch") for o in found["outcomes"])


def test_a_probe_keeps_all_and_moves_nothing(out: Path) -> None:
    found = json.loads((out / "demo.json").read_text())
    probes = [o for o in found["outcomes"] if o["method"] == "linear probe"]
    assert all((o["kept"], o["moved"]) == (found["source"], 0.0) for o in probes)
    assert all(o["target"] > 0.5 for o in probes)


def test_every_run_is_a_whole_run_folder(out: Path) -> None:
    for method in set(METHODS) - {"linear probe"}:
        for seed in (0, 1):
            folder = out / f"{method}-{seed}"
            verify_manifest(folder)
            record = RunRecord.read(folder)
            assert record.spec.seed == seed
            assert record.spec.data.path == str(out / "digits/reported")
            assert (record.spec.source is None) == (method == "scratch")
            assert len(record.metrics) == 2
    assert (out / "demo.png").stat().st_size > 10_000


def test_rates_are_tuned_on_one_half_and_reported_on_the_other(out: Path) -> None:
    halves = [{path.name for path in (out / "digits" / half).rglob("*.png")} for half in ("tuning", "reported")]
    assert not halves[0] & halves[1]
    assert sorted(map(len, halves)) == [898, 899]


def test_a_digit_is_drawn_as_mnists_are(out: Path) -> None:
    path = next((out / "digits/reported/3").iterdir())
    drawn = np.asarray(Image.open(path))
    digits = read_digits()
    index = int(path.stem)
    assert digits.classes[digits.labels[index]] == "3"
    assert drawn.shape == (28, 28)
    border = drawn.copy()
    border[4:24, 4:24] = 0
    assert not border.any()
    assert drawn.any()


def test_a_demo_is_never_overwritten(out: Path) -> None:
    with pytest.raises(RunExists):
        module.demo(out)


def test_the_rate_with_the_best_mean_is_chosen_and_the_first_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RATES", (0.1, 0.2))
    monkeypatch.setattr(module, "PLANS", {"plain": "none", "l2_sp": "l2_sp"})
    tried = [(method, rate, seed) for method in ("plain", "l2_sp") for rate in (0.1, 0.2) for seed in (0, 1)]
    accuracies = [0.9, 0.1, 0.6, 0.6, 0.5, 0.5, 0.5, 0.5]
    assert module._chosen(tried, accuracies) == {"plain": 0.2, "l2_sp": 0.1}


def test_a_rate_that_diverges_scores_nothing(out: Path) -> None:
    spec = module._spec(out / "digits/tuning", "plain", 1e9, 0)
    assert module._tuned(spec) == 0.0

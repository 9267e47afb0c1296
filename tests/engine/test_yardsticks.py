"""What a run is measured against is there before its first step, and what is measured is in its folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tether import RunSpec, fit
from tether.answers import Answers
from tether.engine.build import build
from tether.engine.evaluate import logits_of
from tether.errors import DataError, MatchError, Notice, SettingsError
from tether.files import verify_manifest
from tether.record import RunRecord
from tether.scores import Scores

Settings = Callable[..., dict[str, Any]]


def test_the_answers_are_in_the_order_of_the_split(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    record = fit(RunSpec.from_flags(settings({"source.path": str(source_run)})), tmp_path / "run")
    found = Answers.read(tmp_path / "run/answers.safetensors")
    names = json.loads((tmp_path / "run/split.json").read_text())["test"]
    assert ["abc"[label] for label in found.truth] == [name[0] for name in names]
    job = build(record.spec)
    job.model.load_state_dict(load_file(tmp_path / "run/model.safetensors"))
    logits, labels = logits_of(job.model, job.task.still("test"))
    said = Answers.of(logits.numpy(), labels.numpy())
    np.testing.assert_array_equal(found.guess, said.guess)
    np.testing.assert_allclose(found.probability, said.probability, rtol=1e-6)
    assert Scores.of(found).to_json() == record.outcome["test"]
    files = verify_manifest(tmp_path / "run")["files"]
    assert {"answers.safetensors", "drift.json"} <= set(files)


def test_the_drift_holds_what_the_outputs_did(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    record = fit(RunSpec.from_flags(settings({"source.path": str(source_run)})), tmp_path / "run")
    found = json.loads((tmp_path / "run/drift.json").read_text())
    assert found["outputs"] == record.outcome["agreement"]
    whole = sum(row["norm"] ** 2 for row in found["layers"]) ** 0.5
    assert whole == pytest.approx(record.outcome["displacement"], rel=1e-6)


def test_the_test_pictures_are_shown_to_each_model_once(
    settings: Settings, source_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tether.models.digits_cnn import DigitsCNN

    shown = []
    plain = DigitsCNN.forward

    def forward(self: DigitsCNN, pictures: torch.Tensor) -> torch.Tensor:
        if not self.training:
            shown.append(len(pictures))
        return plain(self, pictures)

    monkeypatch.setattr(DigitsCNN, "forward", forward)
    fit(RunSpec.from_flags(settings({"source.path": str(source_run)})), tmp_path / "run")
    assert shown.count(12) == 2


def test_a_run_without_test_or_validation_pictures_has_no_answers(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = settings({"source.path": str(source_run), "data.test": 0.0, "data.validation": 0.0})
    del changes["data.per_class"]
    outcome = fit(RunSpec.from_flags(changes), tmp_path / "run").outcome
    assert not (tmp_path / "run/answers.safetensors").exists()
    assert (outcome["test"], outcome["agreement"]) == (None, None)
    assert outcome["agreement_absent"] == "there are no test or validation pictures"
    seen = changes | {"source.unlabelled": str(stripes("xy"))}
    found = fit(RunSpec.from_flags(seen), tmp_path / "seen").outcome["agreement"]
    assert (found["target"], found["unlabelled"]["count"]) == (None, 20)


def test_from_scratch_there_is_nothing_to_agree_with(source_run: Path) -> None:
    outcome = json.loads((source_run / "outcome.json").read_text())
    assert outcome["agreement"] is None
    assert "agreement_absent" not in outcome
    assert Answers.read(source_run / "answers.safetensors").classes == 3


def headless(source_run: Path, folder: Path) -> dict[str, Any]:
    state = load_file(source_run / "model.safetensors")
    body = {name: value for name, value in state.items() if not name.startswith("head.")}
    save_file(body, folder / "body.safetensors")
    prepared = {"preprocessing.mean": (0.5,), "preprocessing.std": (0.5,)}
    return {"source.path": str(folder / "body.safetensors")} | prepared


def test_a_source_without_a_head_is_told_and_refused_only_where_it_was_asked_for(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = headless(source_run, tmp_path)
    record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    assert record.outcome["agreement"] is None
    assert "how many classes" in record.outcome["agreement_absent"]
    assert "agreement absent" in str(record)
    assert json.loads((tmp_path / "run/drift.json").read_text())["outputs"] is None
    with pytest.raises(SettingsError, match="how many classes"):
        fit(RunSpec.from_flags(settings(changes | {"source.unlabelled": str(stripes())})), tmp_path / "asked")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    changes |= {"source.classes": str(tmp_path / "classes.txt"), "source.unlabelled": str(stripes())}
    with pytest.raises(MatchError, match=r"lacks head\.weight"):
        fit(RunSpec.from_flags(settings(changes)), tmp_path / "asked")
    assert not (tmp_path / "asked").exists()


def test_unlabelled_pictures_are_looked_for_before_the_first_step(
    settings: Settings, source_run: Path, tmp_path: Path
) -> None:
    for place in (tmp_path / "gone", tmp_path):
        changes = {"source.path": str(source_run), "source.unlabelled": str(place)}
        with pytest.raises(DataError, match=r"there is no file or folder|holds no picture"):
            fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_unlabelled_pictures_that_cannot_be_read_are_told(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen/broken.png").write_bytes(b"torn")
    (tmp_path / "seen/whole.png").write_bytes((stripes() / "a/00.png").read_bytes())
    changes = {"source.path": str(source_run), "source.unlabelled": str(tmp_path / "seen"), "data.skip_bad": True}
    with pytest.warns(Notice, match="left out because they cannot be read: 1, first `broken.png`"):
        record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    assert record.outcome["agreement"]["unlabelled"]["count"] == 1


def test_outputs_that_are_not_finite_are_told(
    settings: Settings, source_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tether.engine.agreement import Compared

    plain = Compared.add
    monkeypatch.setattr(Compared, "add", lambda self, source, tuned: plain(self, source, tuned * float("inf")))
    record = fit(RunSpec.from_flags(settings({"source.path": str(source_run)})), tmp_path / "run")
    assert record.outcome["agreement"] is None
    assert record.outcome["agreement_absent"] == "outputs are not finite on 12 of 12 test pictures"


def test_what_agrees_is_the_same_whether_retention_is_measured_or_not(
    settings: Settings, stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = {"source.path": str(source_run), "source.unlabelled": str(stripes("xy")), "optimizer.lr": 0.05}
    alone = fit(RunSpec.from_flags(settings(changes)), tmp_path / "alone").outcome
    beside = fit(RunSpec.from_flags(settings(changes | {"source.data": str(stripes())})), tmp_path / "beside").outcome
    assert beside["retention"]["kept"] < beside["retention"]["source"]
    assert beside["agreement"] == alone["agreement"]


def test_the_screen_shows_what_agrees(settings: Settings, source_run: Path, tmp_path: Path) -> None:
    fit(RunSpec.from_flags(settings({"source.path": str(source_run)})), tmp_path / "run")
    assert "  target part test · count 12 · agreement " in str(RunRecord.read(tmp_path / "run"))

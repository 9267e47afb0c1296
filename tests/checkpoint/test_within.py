from pathlib import Path

import pytest

from tether.checkpoint.within import require_within
from tether.errors import CheckpointError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "snapshots" / "1"
    folder.mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder.parent.parent / "blobs").mkdir()
    return folder


def test_a_file_and_a_link_within_pass(folder: Path) -> None:
    (folder / "b").symlink_to("a")
    require_within(folder / "a", folder)
    require_within(folder / "b", folder)


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(folder)
    require_within(tmp_path / "latest" / "a", tmp_path / "latest")


def test_a_snapshot_of_a_download_cache_passes(folder: Path) -> None:
    (folder.parent.parent / "blobs" / "0a").write_text("x")
    (folder / "b").symlink_to("../../blobs/0a")
    require_within(folder / "b", folder)


@pytest.mark.parametrize("target", ["/etc/passwd", "../2", "../../refs", "../../blobs-of-another"])
def test_a_link_elsewhere_is_refused(folder: Path, target: str) -> None:
    (folder / target).resolve().exists() or (folder / target).write_text("x")
    (folder / "b").symlink_to(target)
    with pytest.raises(CheckpointError, match="b` is a link to"):
        require_within(folder / "b", folder)


def test_what_is_absent_or_a_loop_is_left_to_open(folder: Path) -> None:
    (folder / "b").symlink_to("b")
    require_within(folder / "b", folder)
    require_within(folder / "c", folder)

import io
import zipfile
from pathlib import Path

import pytest
import torch

from checkpoint.zips import contents, saved, zipped
from tether.checkpoint.archive import _located, members
from tether.errors import CheckpointError

TENSORS = {"w": torch.arange(10.0), "b": torch.ones(3)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt"


def refused(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=what) as refusal:
        members(path)
    assert refusal.value.why and refusal.value.fix


def test_every_member_is_found_where_it_lies(path: Path) -> None:
    content = saved(TENSORS)
    path.write_bytes(content)
    found = members(path)
    with path.open("rb") as stream:
        read = {f"archive/{name}": member.read(stream) for name, member in found.items()}
    assert read == contents(content)


def test_an_archive_that_was_packed_again_without_compression_passes(path: Path) -> None:
    path.write_bytes(zipped({"archive/": b"", **contents(saved(TENSORS))}))
    assert "data/0" in members(path)


def test_an_archive_of_more_than_65535_members_passes(path: Path) -> None:
    path.write_bytes(zipped({f"archive/data/{number}": b"x" for number in range(70_000)}))
    assert len(members(path)) == 70_000


def test_any_changed_bit_of_a_member_is_found(path: Path) -> None:
    content = bytearray(saved(TENSORS))
    for place in range(content.index(TENSORS["w"].numpy().tobytes()), len(content), 97):
        content[place] ^= 4
        path.write_bytes(content)
        try:
            found = members(path)
        except CheckpointError:
            pass
        else:  # the bit is between members, or of a date
            with path.open("rb") as stream:
                assert {f"archive/{name}": each.read(stream) for name, each in found.items()} == contents(
                    saved(TENSORS)
                ) | {"archive/.data/serialization_id": found[".data/serialization_id"].read(stream)}
        content[place] ^= 4


def test_one_without_checksums_is_read_as_torch_was_told_to_write_none(path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        content = saved(TENSORS)
    finally:
        torch.serialization.set_crc32_options(True)
    path.write_bytes(content)
    assert all(member.checksum == 0 for member in members(path).values())


@pytest.mark.parametrize(
    "name",
    ["../w", "archive/../../w", "/etc/passwd", "archive\\w", "C:/w", "archive/\x1b[2J", "archive/wörter", "w"],
)
def test_a_member_elsewhere_is_refused(path: Path, name: str) -> None:
    refused(path, zipped(contents(saved(TENSORS)), (name, b"x")), "member|did not write")


@pytest.mark.parametrize("name", ["archive/data.pkl", "archive/DATA.PKL", "archive/data/0"])
def test_a_member_twice_is_refused(path: Path, name: str) -> None:
    refused(path, zipped(contents(saved(TENSORS)), (name, b"x")), "twice")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_member_is_refused(path: Path, compression: int) -> None:
    refused(path, zipped(contents(saved(TENSORS)), compression=compression), "which is compressed")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b"x",
        lambda content: content + content,
        lambda content: b"PK\x03\x04" + content,
        lambda content: content[:-1],
        lambda content: content[:-30],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-2] + b"\x03\x00abc",
    ],
)
def test_more_or_less_than_the_archive_is_refused(path: Path, change: object) -> None:
    refused(path, change(saved(TENSORS)), "truncated or damaged")  # type: ignore[operator]


def test_a_table_that_says_another_size_name_or_place_is_refused(path: Path) -> None:
    content = saved(TENSORS)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        table = archive.start_dir
    for offset, width in ((20, 4), (24, 4), (42, 4), (46, 1), (10, 2), (8, 1)):
        changed = bytearray(content)
        changed[table + offset] ^= 1 if width == 1 else 9
        refused(path, bytes(changed), "weights.pt`")


@pytest.mark.parametrize("place", [2**63, 2**64 - 1, 2**40])
def test_a_table_that_is_said_to_lie_beyond_the_file_is_refused(path: Path, place: int) -> None:
    content = bytearray(saved(TENSORS))
    content[-34:-26] = place.to_bytes(8, "little")
    refused(path, bytes(content), "truncated or damaged")


@pytest.mark.parametrize("place", [2**63, 2**64 - 1, 2**40])
def test_a_member_that_is_said_to_lie_beyond_the_file_is_refused(path: Path, place: int) -> None:
    info = zipfile.ZipInfo("archive/w")
    info.header_offset, info.orig_filename = place, "archive/w"
    path.write_bytes(saved(TENSORS))
    with path.open("rb") as stream, pytest.raises(CheckpointError, match="is not where its table of contents says"):
        _located(stream, info, path)

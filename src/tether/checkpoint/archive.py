"""Archive of `torch.save`: a zip whose members are stored as they are, below one folder, each name once."""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tether.checkpoint.damage import damaged
from tether.errors import CheckpointError

END, END64, LOCATOR, LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x03\x04"
CHUNK = 2**20
REWRITE = "in the environment that made it, write it again with `torch.save`"


@dataclass(frozen=True)
class Member:
    """Where one member's bytes lie."""

    name: str
    start: int
    size: int
    checksum: int

    def read(self, stream: BinaryIO) -> bytes:
        """All its bytes."""
        stream.seek(self.start)
        return stream.read(self.size)


def members(path: Path) -> dict[str, Member]:
    """The members of an archive by name without its folder, once it is sound.

    Python and torch read a zip with different libraries. What the two could read differently is refused, so that what
    is checked here is what torch loads.

    Raises:
        CheckpointError: it is truncated or damaged, or holds a member that `torch.save` would not write.

    """
    infos, directory = _directory(path)
    for info in infos:
        _require_plain(info, path)
    _require_one_folder(infos, path)
    size = path.stat().st_size
    with path.open("rb") as stream:
        _require_end(stream, size, directory, len(infos), path)
        found = [_located(stream, info, path) for info in infos if not info.is_dir()]
        _require_apart(found, infos, directory, path)
        if any(member.checksum for member in found):  # without one, torch was told to write none
            _require_checksums(stream, found, path)
    return {member.name: member for member in found}


def _directory(path: Path) -> tuple[list[zipfile.ZipInfo], int]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist(), archive.start_dir
    except Exception as error:
        # Beside BadZipFile, a damaged directory fails as its fields do: UnicodeDecodeError, struct.error, …
        raise damaged(path, f"{type(error).__name__}: {error}; the end of a zip is its table of contents") from error


def _require_plain(info: zipfile.ZipInfo, path: Path) -> None:
    name = info.orig_filename
    printable = name.isascii() and name.isprintable() and "\\" not in name and ":" not in name
    if not printable or name.startswith("/") or ".." in name.split("/"):
        raise _foreign(path, f"`{name[:100]}`", "a member is named plainly, below the archive's own folder")
    if info.compress_type != zipfile.ZIP_STORED:
        raise _foreign(path, f"`{name}`, which is compressed", "it may unpack to more than the memory holds")
    if info.flag_bits & 1:
        raise _foreign(path, f"`{name}`, which is encrypted", "`torch.save` encrypts nothing")
    if info.file_size != info.compress_size:
        raise damaged(path, f"its member `{name}` has {info.compress_size:,} bytes, and would have {info.file_size:,}")


def _foreign(path: Path, what: str, why: str) -> CheckpointError:
    return CheckpointError(f"`{path}` holds the member {what}", why=why, fix=REWRITE)


def _require_one_folder(infos: list[zipfile.ZipInfo], path: Path) -> None:
    folders = sorted({info.filename.partition("/")[0] for info in infos})
    if len(folders) != 1 or not all("/" in info.filename for info in infos):
        raise CheckpointError(
            f"`{path}` is a zip archive that `torch.save` did not write",
            why=f"its members lie not all below one folder: {', '.join(f'`{name[:40]}`' for name in folders[:4])}",
            fix="unzip it, and give the checkpoint in it",
        )
    seen: set[str] = set()
    for info in infos:
        name = info.filename.lower()  # torch does not tell capitals from small letters
        if name in seen:
            raise _foreign(path, f"`{info.filename}` twice", "which of the two is meant cannot be known")
        seen.add(name)


def _require_end(stream: BinaryIO, size: int, directory: int, count: int, path: Path) -> None:
    """The table of contents is the one that the last bytes of the file name, with nothing after it."""
    stream.seek(max(0, size - 42))
    last = stream.read()
    end = last[-22:]
    if end[:4] != END or end[20:] != b"\0\0":
        raise damaged(path, "there is something after the end of its table of contents")
    entries, _, start = struct.unpack("<HLL", end[10:20])
    if last[:4] == LOCATOR:
        stream.seek(min(size, struct.unpack("<Q", last[8:16])[0]))
        record = stream.read(56)
        if record[:4] != END64 or len(record) < 56:
            raise damaged(path, "its table of contents cannot be found")
        entries, _, start = struct.unpack("<QQQ", record[32:56])
    if (entries, start) != (count, directory):
        raise damaged(path, "its table of contents is not where, or not as long as, its last bytes say")


def _located(stream: BinaryIO, info: zipfile.ZipInfo, path: Path) -> Member:
    stream.seek(min(path.stat().st_size, info.header_offset))
    head = stream.read(30)
    if len(head) < 30 or head[:4] != LOCAL:
        raise damaged(path, f"its member `{info.filename}` is not where its table of contents says")
    method, name_length, extra_length = *struct.unpack("<H", head[8:10]), *struct.unpack("<HH", head[26:30])
    if method != zipfile.ZIP_STORED or stream.read(name_length) != info.orig_filename.encode():
        raise damaged(path, f"its member `{info.filename}` is named otherwise in its table of contents")
    start = info.header_offset + 30 + name_length + extra_length
    return Member(info.filename.partition("/")[2], start, info.file_size, info.CRC)


def _require_apart(found: list[Member], infos: list[zipfile.ZipInfo], directory: int, path: Path) -> None:
    if min(info.header_offset for info in infos) != 0:
        raise damaged(path, "there is something before its first member")
    end = 0
    for member in sorted(found, key=lambda member: member.start):
        if member.start < end or member.start + member.size > directory:
            raise damaged(path, f"its member `{member.name}` overlaps what is after it")
        end = member.start + member.size


def _require_checksums(stream: BinaryIO, found: list[Member], path: Path) -> None:
    for member in found:
        stream.seek(member.start)
        left, checksum = member.size, 0
        while left:
            chunk = stream.read(min(left, CHUNK))
            left, checksum = left - len(chunk), zlib.crc32(chunk, checksum)
            if not chunk:
                break
        if left or checksum != member.checksum:
            raise damaged(path, f"its member `{member.name}` is not what its CRC-32 says: a bit or more has changed")
